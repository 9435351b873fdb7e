"""Several settings of one study side by side, as a sweep over batch sizes or durations leaves them.

A board holds one setting, and so does every other table; here each setting among the records has a board of its own,
and its arms are rows, beside the values of the keys that tell the settings apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .....common.config import flat
from ....analysis.pooling import metric_names, pooled
from ....analysis.records import Record, latest
from ....analysis.result_table import Board, comparable, exam_of, make_board, setting_of
from ....report.table import Table
from .tables import ARROWS, figure

Keys = dict[str, Any]
NONE = "–"  # also of a setting that a record has not: it is younger than the record, or at its default


def boards(study: str, folder: Path, records: Sequence[Record]) -> list[tuple[Keys, Board]]:
    """A board for each setting of the arms, with the values that set it apart; in their order."""
    held = list(latest(records).values())
    arms = [record for record in held if record.kind == "paradigm" and record.status == "ok"]
    kinds = {(exam_of(record), setting_of(record)): record for record in arms}
    plain = {kind: _values(record) for kind, record in kinds.items()}
    differing = [key for key in _all_keys(plain.values()) if len({repr(v.get(key)) for v in plain.values()}) > 1]
    found = []
    for (eval_set, setting), values in plain.items():
        own = [r for r in held if exam_of(r) == eval_set and (r.kind != "paradigm" or setting_of(r) == setting)]
        found.append(({key: values.get(key) for key in differing}, make_board(study, folder, own)))
    return sorted(found, key=lambda pair: [_order(value) for value in pair[0].values()])


def by_setting(found: Sequence[tuple[Mapping[str, Any], Board]]) -> Table:
    """One row per setting and arm: what was seen in training, and the main metrics at its end."""
    names = list(dict.fromkeys(name for _, board in found for name in metric_names(board)))
    keys = list(found[0][0]) if found else []
    better = {name: m.better for _, b in found for r in b.records for name, m in r.metrics.items()}
    headings = [name + ARROWS[better[name]] for name in names]
    header = [*(key.removeprefix("train.") for key in keys), "arm", "n", "updates", "latent frames", *headings]
    body = []
    for values, board in found:
        for row in (row for row in board.arms if row.good):
            training = row.good[0].training
            cost = [NONE, NONE] if training is None else [f"{training.updates:,}", f"{training.tokens:,}"]
            n = max((m.n for m in row.good[0].metrics.values()), default=0)
            scores = [figure(pooled(board, row, name)) for name in names]
            body.append(
                [*(NONE if values[k] is None else f"{values[k]}" for k in keys), row.system, str(n), *cost, *scores]
            )
    return Table(header, body)


def _values(record: Record) -> Keys:
    """What may set records of a study apart."""
    cell = record.cell
    eval_set = flat({key: cell.get(key) for key in ("version", "data", "evaluation")})
    eval_set.pop("evaluation.seconds", None)  # follows train.seconds
    return {**flat(comparable(record)), **eval_set}


def _all_keys(values: Any) -> list[str]:
    return list(dict.fromkeys(key for value in values for key in value))


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0.0, str(value))
