"""The section on replication: how near clips are to training clips, and the closest pairs to listen to."""

from __future__ import annotations

from typing import Any

from ....analysis.pooling import metric_names, pooled
from ....analysis.records import Record
from ....analysis.result_table import ResultTable, TableRow
from ....metrics.catalogue import family
from ....report.markup import Table, bullets, link
from ....report.scores import failure, figure, reference_rows

TOLD = """\
Distance of a clip to its nearest training clip, in the embeddings of two judges and by the alignment of spectrograms
(0: the same clip, about 1: unrelated). `too near`: the share of clips that are nearer than all but the nearest 1% of
held-out real clips. Real audio has about 1%; much more is a sign that training clips are repeated. Neither end of a
distance is better."""
SIDES = {"made": "made", "training": "training clip"}  # of a pair, as artefacts name them, and in words


def replication(table: ResultTable) -> list[str]:
    """The section as Markdown paragraphs; empty where replication was not measured."""
    names = metric_names(table, "replication")
    distances = [name for name in names if family(name) == "replication"]
    if not distances:
        return []
    return [
        "## Replication of training clips",
        TOLD,
        distance_table(table, distances).markdown(),
        bullets(pairs(table)),
    ]


def distance_table(table: ResultTable, distances: list[str]) -> Table:
    """Systems x distances, each with its share of clips that are too near; below them, the limits of real audio."""
    measures = [name.removeprefix("replication_") for name in distances]
    header = ["system", *(f"{one}{what}" for one in measures for what in ("", ", too near"))]
    body = []
    for row in table.rows:
        if not row.good:
            body.append([row.system, failure(row), *[""] * (len(header) - 2)])
            continue
        cells = []
        for one in measures:
            share = pooled(table, row, f"replication_share_{one}").value
            cells += [figure(pooled(table, row, f"replication_{one}")), "–" if share is None else f"{share:.1%}"]
        body.append([row.system, *cells])
    return Table(header, body, italic=reference_rows(table), notes=_limits(table, measures))


def pairs(table: ResultTable) -> list[str]:
    """A line for each arm: its closest pairs, with links to both clips where they are kept."""
    lines = []
    for row in table.arms:
        record = next((record for record in row.good if _details(record)), None)
        if record is not None and (told := _closest(table, row, record)):
            lines.append(f"Closest pairs of {row.system}: {'; '.join(told)}.")
    return lines


def _closest(table: ResultTable, row: TableRow, record: Record) -> list[str]:
    told = []
    for number, pair in enumerate(_details(record).get("closest", []), 1):
        files = {side: table.folder / record.artefacts.get(f"replication/{number}/{side}", "") for side in SIDES}
        kept = {side: file for side, file in files.items() if file.is_file()}
        links = " · ".join(link(f"{row.system}, {SIDES[side]}", file, table.folder) for side, file in kept.items())
        where = f"`{pair['item']}` and training clip `{pair['training']}` from {pair['start']:g} s"
        told.append(f"{where}, distance {pair['distance']:.2f}" + (f" ({links})" if links else ""))
    return told


def _limits(table: ResultTable, measures: list[str]) -> tuple[str, ...]:
    """What the nearest 1% of held-out real clips are below."""
    held: dict[str, dict[str, float]] = next(
        (d["held_out"] for r in table.records if (d := _details(r)) and "held_out" in d), {}
    )
    told = [f"{held[one]['limit']:.2f} ({one})" for one in measures if one in held]
    return (f"Too near: less than {', '.join(told)}.",) if told else ()


def _details(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = record.environment.get("scoring", {}).get("replication", {})
    return found
