"""``bench score``: the judge for any two folders of audio."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.folders.score import Score

QUIET_S = 10.0


def score(
    reference: Annotated[Path, typer.Option(help="Folder of real audio (WAV, FLAC, OGG, MP3; subfolders too).")],
    generated: Annotated[Path, typer.Option(help="Folder of generated audio. Files of one name are pairs.")],
    captions: Annotated[
        Path | None, typer.Option(help="Captions of the generated files: .csv or .jsonl with path and caption.")
    ] = None,
    evaluator: Annotated[
        str,
        typer.Option(help="Who listens: builtin, clap:NAME, encodec:NAME ..., or a folder of bench evaluator train."),
    ] = "builtin",
    n: Annotated[int, typer.Option("--n", help="Score so many of each folder; 0: all.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a file that cannot be scored.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes; no score depends on it. 0: one per core.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write scores and policy as JSON.")] = None,
) -> None:
    """Score a folder of generated clips against a folder of real ones, with intervals.

    Scores compare at equal n, evaluator and policy only. A file that cannot be read is left out with its partner, and
    named. What was heard is kept in the cache by content, so a second run is quick and changed audio is heard anew.

    \b
    Examples:
      bench score --reference real/ --generated mine/
      bench score --reference real/ --generated mine/ --captions mine/captions.csv --strict --out scores.json
      bench score --reference real/ --generated mine/ --n 256 --evaluator clap:music
    """
    from benchmarks.folders.captions import read_captions
    from benchmarks.folders.score import Request, score_folders
    from common.errors import UserError

    if n < 0 or n == 1 or jobs < 0:
        raise UserError(
            f"--n {n} --jobs {jobs}: give 2 clips or more (0: all) and a number of processes (0: all cores)"
        )
    asked = read_captions(captions) if captions is not None else {}
    workers = jobs or os.cpu_count() or 1
    found = score_folders(Request(reference, generated, evaluator, asked, strict, n, workers), _reporter())
    if out is not None:
        write(found, out)
    print(show(found))


def show(found: Score) -> str:
    """The table, what it rests on, and what a reader must know."""
    from benchmarks.console import table
    from benchmarks.report.fidelity.tables import ARROWS, figure

    about = found.policy
    rows = [[name + ARROWS[m.better], figure(m), str(m.n)] for name, m in found.metrics.items()]
    missing = [f"not scored: {name}: {why}" for name, why in about["not_scored"].items()]
    rates = " and ".join("/".join(map(str, about[f"sample_rates_{kind}"])) for kind in ("reference", "generated"))
    policy = about["policy"]
    basis = (
        f"evaluator {about['evaluator']} ({about['evaluator_identity'][:8]}, {about['evaluator_checkpoint']}); "
        f"{about['n_reference']} reference and {about['n_generated']} generated clips"
        f"{', paired by name' if about['paired_by_name'] else ''}; files at {rates} Hz, {policy['channels']}, "
        f"peak {policy['peak_dbfs']:g} dBFS; {about['silent_clips']} silent"
    )
    return "\n".join([table(["metric", "score [95%]", "n"], rows), basis, *missing, *found.notes])


def write(found: Score, out: Path) -> None:
    """Scores, policy and notes as JSON."""
    from common.config import to_dict
    from common.files import write_json

    scores = {name: to_dict(m) for name, m in found.metrics.items()}
    write_json(out, {"metrics": scores, "policy": found.policy, "notes": found.notes})


def _reporter() -> Callable[[int, int], None]:
    """A line on stderr every ten seconds."""
    from common.lines import say

    last = [time.monotonic()]

    def report(done: int, total: int) -> None:
        if time.monotonic() - last[0] >= QUIET_S:
            last[0] = time.monotonic()
            say(f"heard {done:,} of {total:,} files")

    return report
