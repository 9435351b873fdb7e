"""How long cells take that train nothing and sample nothing: scoring alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..analysis.records import all_records
from ..run.estimate.timings import published
from ..study.axis import Estimate
from ..study.cells import Cell


def estimate(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Each cell's time: of its own earlier record, else by the published ones."""
    ids, usual = {cell.id for cell in cells}, published()
    held = {r.id: r.timing.get("measuring_seconds") for r in all_records(results) if r.id in ids}
    found = {cell.id: Estimate(held.get(cell.id) or usual.measuring_seconds(cell.axis, cell.config)) for cell in cells}
    return found, f"Times: earlier records of the same cells; without one the published records ({usual.machine})."
