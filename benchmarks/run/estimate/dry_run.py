"""The list that ``bench run --dry-run`` prints: what has to be trained first, then every cell with its estimates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from ....common.console import duration, shown, size
from ....common.gpus import visible, workers
from ....common.lines import count
from ....common.needs import UNTRAINED, Need, only_listed
from ...study.axis import Context, Estimate, find_axis
from ...study.cells import Cell
from ...study.study import Study
from ...study.sweep import expand
from ..reuse import found_elsewhere
from ..runner import plan

HEADER = ["cell", "system", "setting", "seed", "updates", "time", "memory", "state"]


def listed(study: Study) -> tuple[list[Cell], list[Need]]:
    """The cells of ``study``, and what must be trained before their ids are known; nothing is trained."""
    with only_listed() as needs:
        return expand(study), needs


def known_id(cell: Cell) -> str:
    """The cell's id, or ``-`` where it depends on something that is not trained yet."""
    return "-" if UNTRAINED in json.dumps(cell.config) else cell.id


def print_cells(study: Study, context: Context, jobs: int = 0, as_json: bool = False) -> None:
    """Print the cells, the total time, and the basis of the estimates.

    Args:
        jobs: workers at a time, as in ``bench run``.
    """
    cells, needs = listed(study)
    axis = find_axis(study.axis)
    todo, shared = plan(cells, context.results), found_elsewhere(cells, study.axis, context.results)
    states = {cell.id: "done" for cell in todo.done} | {key: f"in {other}" for key, (other, _) in shared.items()}
    estimates, basis = axis.estimate(cells, context.results.parent)
    rows: list[list[object]] = [["-", need.name, "", "", "", duration(need.seconds), "", "to train"] for need in needs]
    for c in cells:
        at = "" if c.at_updates is None else c.at_updates
        guess = duration(estimates[c.id].seconds), size(estimates[c.id].bytes)
        rows.append([known_id(c), c.system, c.label, c.seed, at, *guess, states.get(c.id, "to do")])
    print(shown(HEADER, rows, as_json))
    if as_json:
        return
    left = [[cell for cell in group if cell.id not in states] for group in todo.groups]
    at_once = 1 if axis.exclusive else workers(jobs, study.jobs, len(left), visible())
    print(f"\n{total(left, estimates, needs, at_once)} {basis}")


def total(groups: Sequence[Sequence[Cell]], estimates: Mapping[str, Estimate], needs: Sequence[Need], jobs: int) -> str:
    """A sentence on what is left to do: worker time, and elapsed time with ``jobs`` workers."""
    spent = [[estimates[cell.id].seconds for cell in group] for group in groups]
    times = [sum(seconds or 0.0 for seconds in group) for group in spent]
    before, unknown = sum(need.seconds for need in needs), sum(group.count(None) for group in spent)
    first = f"{count(len(needs), 'thing')} to train first and " if needs else ""
    parts = [f"about {duration(before + sum(times))} of worker time"]
    if jobs > 1:
        parts.append(f"{duration(before + elapsed(times, jobs))} with {jobs} workers")
    if unknown:
        parts.append(f"and {count(unknown, 'cell')} of unknown length")
    return f"To do: {first}{count(sum(map(len, groups)), 'cell')}, {', '.join(parts)}."


def elapsed(times: Iterable[float], jobs: int) -> float:
    """Elapsed time of groups that take ``times``, each started when one of ``jobs`` workers is free, in this order."""
    ends = [0.0] * jobs
    for seconds in times:
        ends[ends.index(min(ends))] += seconds
    return max(ends)
