"""Runs single cells of a study in the same workers as ``bench run``, and writes the same records.

``bench run`` is not called itself because it takes all cells of a study in a fixed order and writes a report, which
takes about as long as one cell.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paradigm_bench.benchmarks.analysis.records import Record
    from paradigm_bench.benchmarks.study.cells import Cell
    from paradigm_bench.benchmarks.study.study import Study

PATIENCE_S = 3.0
"""How long a worker may take to end after an interrupt."""


def measure(cells: Sequence[Cell], study: Study, work: Path, options: Sequence[str]) -> tuple[list[Record], float]:
    """Measure the cells that have no good record yet.

    Args:
        work: records are written to its folder ``results/<study>``, checkpoints to ``runs``, progress to ``logs``.
        options: of the ``bench run`` command that measures these cells. The records keep it.

    Returns:
        Records of all ``cells``, and how many seconds this took.
    """
    from paradigm_bench.benchmarks.run.runner import run
    from paradigm_bench.benchmarks.study.axis import Context

    context, start = Context(study.name, work / "results" / study.name, work / "runs"), time.perf_counter()
    log = work / "logs" / f"{study.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as lines, contextlib.redirect_stderr(lines):
        records = run(
            cells, study.axis, context, jobs=1, command=shlex.join(["bench", "run", study.name, *options]),
            prepare=False, patience_s=PATIENCE_S,
        )  # fmt: skip
    return records, time.perf_counter() - start


def problem(record: Record) -> str:
    """Status and reason of a record that is not ok, else an empty string."""
    return f"{record.status}: {record.reason}" if record.status != "ok" else ""
