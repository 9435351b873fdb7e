"""All records as one table in long form: a row per cell and metric, ready for pandas, polars or R.

Every attempt is read and checked, by several processes where there are many; for each cell the newest good record
counts, else the newest. A cell that several studies have counts once: ``study`` is the one whose record counts,
``studies`` names all of them. A cell without metrics (failed, out of memory) has one row without a metric, so that no
cell is missing from the table.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import UserError
from . import packs
from .records import GOOD, chosen_studies, problem_lines, read_record, record_paths

if TYPE_CHECKING:
    import pyarrow as pa

# Column -> where a record has its value; of several places, the first that the record has.
LABELS = {
    "study": "study", "axis": "axis", "system": "system", "kind": "kind", "label": "cell.scenario", "seed": "seed",
    "at_updates": "at_updates", "status": "status",
}  # fmt: skip
DETAILS = {
    "reason": "reason", "paradigm": "cell.model.paradigm",
    "d_model": "cell.model.backbone.d_model", "n_layers": "cell.model.backbone.n_layers",
    "corpus": "cell.data.corpus.name cell.corpus.name",
    "representation": "cell.data.representation.name cell.latent.name",
    "evaluator": "cell.evaluation.evaluator.name", "prompts": "cell.evaluation.prompts cell.evaluation.n",
    "train_updates": "cell.train.updates", "train_batch": "cell.train.batch", "train_seconds": "cell.train.seconds",
    "lr": "cell.train.lr", "guidance": "cell.sampler.guidance",
    "steps": "cell.sampler.steps cell.sampler.iterations cell.sampler.diffusion_steps",
    "device": "cell.setting.hardware environment.device", "dtype": "cell.setting.dtype",
    "threads": "cell.setting.threads environment.threads", "batch": "cell.setting.batch",
    "seconds": "cell.setting.seconds cell.evaluation.seconds",
    "training_cpu_seconds": "training.cpu_seconds", "training_tokens": "training.tokens",
    "seconds_per_clip": "timing.seconds_per_clip",
    "id": "id", "attempt": "attempt", "created": "created", "origin": "origin",
}  # fmt: skip
METRIC = ("metric", "value", "low", "high", "n", "unit", "better")
CHUNK = 500  # records that a process reads at a time
MANY = 2000  # fewer records are read by one process, for starting others would take longer


@dataclass(frozen=True)
class Collection:
    """The result of ``collect``.

    Attributes:
        table: a row per cell and metric.
        counts: (study, axis, status) -> number of cells.
        records: number of records that were read, all attempts included.
        problems: a line for every file that was left out.
    """

    table: pa.Table
    counts: Counter[tuple[str, str, str]]
    records: int
    problems: list[str]


def collect(results: Path, studies: Sequence[str] = (), columns: Sequence[str] = (), processes: int = 0) -> Collection:
    """One table of the records of ``studies``; without names, of all studies.

    Args:
        columns: dotted places in a record that become columns too, such as ``cell.train.warmup``.
        processes: number of processes that read; 0: one per core where there are many records.

    Raises:
        UserError: a study that has no records, or no records at all.
    """
    folders = [results / study for study in chosen_studies(results, studies)]
    paths = [path for folder in folders for path in record_paths(folder)]
    parts = list(_read(paths, {**LABELS, **DETAILS, **{place: place for place in columns}}, processes))
    records, metrics = (_joined([part[i] for part in parts]) for i in (0, 1))
    problems = [line for folder in folders for line in _foreign_files(folder)]
    problems += problem_lines(error for part in parts for error in part[2])
    if not records.num_rows:
        raise UserError(f"no record in {results} can be read" + (f", for one: {problems[0]}" if problems else ""))
    chosen = _chosen(records)
    table = _long(chosen, metrics)
    held = (chosen[name].to_pylist() for name in ("study", "axis", "status"))
    return Collection(table, Counter(zip(*held)), records.num_rows, problems)


Part = tuple["pa.Table", "pa.Table", list[UserError]]


def _foreign_files(folder: Path) -> Iterator[str]:
    """A line for each file among the records of a study that can be none, and for a pack that is cut off."""
    held = packs.opened(folder)
    if held.problem:
        yield held.problem
    names = sorted(path.name for path in (folder / "records").glob("[!.]*"))
    known = {name.removesuffix(".json") for name in names if name.endswith(".json")} | held.lines.keys()
    for name in names:
        if name.endswith(".items.csv"):
            if name.removesuffix(".items.csv") not in known:
                yield f"{folder}/records/{name}: scores without their record; put it back, or delete them"
        elif not name.endswith(".json"):
            yield f"{folder}/records/{name}: not a record of this suite; move it elsewhere"


def _read(paths: Sequence[Path], columns: Mapping[str, str], processes: int) -> Iterator[Part]:
    """The result of ``_read_chunk`` for each chunk, in the order of ``paths``."""
    starts = range(0, len(paths), CHUNK)
    chunks = [paths[start : start + CHUNK] for start in starts]
    processes = min(len(chunks), processes or len(os.sched_getaffinity(0)))
    if processes <= 1 or len(paths) < MANY:
        yield from map(partial(_read_chunk, columns), starts, chunks)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(partial(_read_chunk, columns), starts, chunks)


def _read_chunk(columns: Mapping[str, str], start: int, paths: Sequence[Path]) -> Part:
    """A table of records, a table of their metrics, and the errors; the column ``file`` joins the tables."""
    import pyarrow as pa

    places = {name: [place.split(".") for place in where.split()] for name, where in columns.items()}
    records: dict[str, list[Any]] = {name: [] for name in ("file", *places, "path")}
    figures: list[tuple[Any, ...]] = []
    problems: list[UserError] = []
    for file, path in enumerate(paths, start):
        try:
            record = dataclasses.replace(read_record(path), study=path.parts[-3])  # a folder may have been renamed
        except UserError as error:
            problems.append(error)
            continue
        records["file"].append(file)
        records["path"].append("/".join(path.parts[-3:]))
        plain = vars(record) | {"training": vars(record.training) if record.training else None}
        for name, ways in places.items():
            records[name].append(_first(plain, ways))
        for name, m in record.metrics.items():
            figures.append((file, name, m.value, m.low, m.high, m.n, m.unit, m.better))
        if not record.metrics:
            figures.append((file, *[None] * len(METRIC)))
    kinds = {key: pa.float64() for key in ("value", "low", "high")}
    metrics = dict(zip(("file", *METRIC), zip(*figures))) if figures else {name: () for name in ("file", *METRIC)}
    return (
        pa.table({name: _column(values) for name, values in records.items()}),
        pa.table({name: _column(values, kinds.get(name)) for name, values in metrics.items()}),
        problems,
    )


def _first(plain: dict[str, Any], ways: Sequence[Sequence[str]]) -> Any:
    """A record's value at the first of several places that it has, else None; lists and mappings become JSON text."""
    for way in ways:
        found: Any = plain
        for key in way:
            found = found.get(key) if type(found) is dict else None
        if found is not None:
            return json.dumps(found) if type(found) in (list, dict) else found
    return None


def _column(values: Sequence[Any], kind: Any = None) -> pa.Array:
    """A column of a type that fits all values; text where no other type does."""
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows; a column whose types differ becomes text, unless all of them are numbers."""
    import pyarrow as pa

    for name in tables[0].column_names if tables else ():
        kinds = {table.schema.field(name).type for table in tables} - {pa.null()}
        if len(kinds) > 1 and not kinds <= {pa.int64(), pa.float64()}:
            at = tables[0].column_names.index(name)
            tables = [table.set_column(at, name, table[name].cast(pa.string())) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive")


def _chosen(records: pa.Table) -> pa.Table:
    """The record that counts for each cell, with a column ``studies`` of those that have one; sorted for reading."""
    import pyarrow as pa

    best: dict[str, tuple[tuple[Any, ...], int]] = {}
    studies: dict[str, set[str]] = {}
    names = ("id", "study", "status", "origin", "created", "attempt")
    for row, (cell, study, status, origin, created, attempt) in enumerate(
        zip(*(records[name].to_pylist() for name in names))
    ):
        weight = (status in GOOD, not origin, created, attempt)  # a copy yields to what was measured
        if cell not in best or weight > best[cell][0]:
            best[cell] = (weight, row)
        studies.setdefault(cell, set()).add(study)
    kept = records.take(pa.array([row for _, row in best.values()]))
    named = pa.array([";".join(sorted(studies[cell])) for cell in best])
    order = ("study", "axis", "kind", "system", "label", "seed", "at_updates", "created")
    return kept.append_column("studies", named).sort_by([(name, "ascending") for name in order])


def _long(chosen: pa.Table, metrics: pa.Table) -> pa.Table:
    """A row per record of ``chosen`` and metric; text columns are dictionary-encoded."""
    import pyarrow as pa

    files, owners = chosen["file"].to_numpy(), metrics["file"].to_numpy()
    position = np.full(max(files.max(), owners.max()) + 1, -1)
    position[files] = np.arange(len(files))
    kept = np.flatnonzero(position[owners] >= 0)
    kept = kept[np.argsort(position[owners[kept]], kind="stable")]
    chosen, metrics = _categories(chosen), _categories(metrics)
    told, figures = chosen.take(pa.array(position[owners[kept]])), metrics.take(pa.array(kept))
    first = {name: told[name] for name in LABELS}
    rest = {name: told[name] for name in told.column_names if name not in (*LABELS, "file")}
    return pa.table({**first, **{name: figures[name] for name in METRIC}, **rest})


def _categories(table: pa.Table) -> pa.Table:
    """Text columns dictionary-encoded; a column without any value counts as text."""
    import pyarrow as pa

    for at, name in enumerate(table.column_names):
        if table.schema.field(name).type in (pa.string(), pa.null()):
            table = table.set_column(at, name, table[name].cast(pa.string()).combine_chunks().dictionary_encode())
    return table
