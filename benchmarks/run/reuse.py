"""Studies that share cells share their records: what one has measured, another copies instead of measuring it again.

A cell's identity is its whole config (cells.py), so a good record of the same id under another study of the results
folder answers the cell. It is written again in this study's folder, with this study's name and label, the per-item
scores beside it, and ``origin`` naming the file that it came from. Kept audio is not copied but pointed to.

Two kinds of cells are never copied: those of an ``exclusive`` axis, because a time belongs to the session that took it,
in which the arms of a study had their turns one after the other; and those of a study that is measured anew (again.py),
whose folder holds the file ``ANEW``.
"""

from __future__ import annotations

import dataclasses
import datetime
import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...common.errors import UserError
from ..analysis.packs import studies_in
from ..analysis.records import GOOD, Record, latest, load_records, read_items, save_record
from ..study.axis import find_axis
from ..study.cells import Cell

ANEW = "measured-anew.txt"


def take_over(cells: Sequence[Cell], axis: str, results: Path) -> Counter[str]:
    """Copy to the study's folder ``results`` the records that other studies beside it have of ``cells``.

    Returns:
        Study -> number of records copied from it.

    Raises:
        UserError: the folder cannot be written.
    """
    taken, by_id = Counter[str](), {cell.id: cell for cell in cells}
    for cell_id, (study, record) in found_elsewhere(cells, axis, results).items():
        try:
            items = read_items(results.parent / study, record)
        except UserError:  # its scores are gone, and without them it can be paired with nothing
            continue
        save_record(results, adopted(record, by_id[cell_id], study, results.name), items)
        taken[study] += 1
    return taken


def found_elsewhere(cells: Sequence[Cell], axis: str, results: Path) -> dict[str, tuple[str, Record]]:
    """Id -> (study, good record) of the ``cells`` that have none in ``results`` but in a folder beside it.

    Only files named by these cells' ids are read. Of several records the newest counts, as within a study.
    """
    if find_axis(axis).exclusive or (results / ANEW).exists():
        return {}
    wanted = {cell.id for cell in cells}
    wanted -= set(_good(results, wanted))
    found: dict[str, tuple[str, Record]] = {}
    for study in studies_in(results.parent):
        for cell_id, record in _good(results.parent / study, wanted).items() if study != results.name else ():
            if cell_id not in found or record.created > found[cell_id][1].created:
                found[cell_id] = (study, record)
    return found


def adopted(record: Record, cell: Cell, study: str, here: str) -> Record:
    """The record of ``cell`` in the folder ``here``, copied from ``record`` of the folder ``study``.

    Paths of artefacts are relative to the folder ``here``.
    """
    kept = {name: path for name, path in record.artefacts.items() if name != "items"}
    return dataclasses.replace(
        record,
        study=here,
        system=cell.system,
        kind=cell.kind,
        artefacts={name: posixpath.normpath(f"../{study}/{path}") for name, path in kept.items()},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        origin=record.origin or f"{study}/records/{record.stem}.json",
        how=cell.preparation,
    )


def _good(folder: Path, ids: set[str]) -> dict[str, Record]:
    """Id -> the good record of it in ``folder`` that counts; the folder is not listed where there are no ids."""
    if not ids:
        return {}
    return {key: record for key, record in latest(load_records(folder, ids)[0]).items() if record.status in GOOD}
