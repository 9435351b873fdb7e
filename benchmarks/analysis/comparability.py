"""Which records may stand in one table, and which of them form one row. Every table, figure and claim asks here.

The rule: everything in two records' cells must agree, except for what the lists below name, each with its reason. A key
that no list names is compared, so a setting that is added to the cells later counts from the first day.

- ``PER_RUN``: what differs between two measurements of the same arm, or says nothing about what was measured.
- ``BY_NATURE``: backbone settings that a paradigm fixes itself.
- ``PER_ARM``: what an arm may choose for itself. It may differ between arms, but not within one: of an arm that was
  measured with several samplers, the newest stands. The same holds for settings of the backbone that an arm has of its
  own (``own_backbone``), such as a width that makes it as large as the others; all others are the study's.
- Settings of the optimisation that an arm has of its own (``own_train``): they may differ between arms too, and the
  report says whether the arms were tuned alike (``report.tuned_arms``).
- An axis names what it varies (``free``), such as the scenario of the controls or the number of clips.

A reference (real audio, noise ...) has no model: beside an arm, only what decides the scores of both must agree. Two
arms, or two references, must also have been measured on the same kind of device where both records say on which.

Keys are dotted as in ``common.config.flat``; the section ``model`` is left out: ``backbone.n_layers``, ``options.mae``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...common.config import flat
from ...common.lines import count
from .records import Record, latest

PER_RUN = (
    "seed", "train.seed", "tune.seed",  # the seeds of one row are pooled
    "at_updates",  # snapshots and the end of one training; tables tell them apart (``Record.ended``)
    "reference",  # the name of a reference, which is its row's
    "train.log_every", "train.checkpoint_every", "train.snapshots",  # what a training writes, not what it learns
    # When the sampling of times ends: it decides how wide a median's interval is, not what is measured.
    "protocol.samples", "protocol.seconds", "protocol.spread", "protocol.cap_samples", "protocol.cap_seconds",
)  # fmt: skip
BY_NATURE = ("backbone.causal", "backbone.time")
PER_ARM = (
    "paradigm", "options", "own_backbone", "normalisation", "sampler", "tune",
    "trained_on",  # a declaration; it decides which metrics give a verdict on the arm
    "noise",  # which generator draws the random numbers: other numbers, the same distribution
)  # fmt: skip
OF_ARMS = (*PER_ARM, "backbone", "controls", "control_tokens", "train", "precision", "device")  # references have none
SNAPSHOTS = "snapshots of trainings that have not ended"
AGAIN = "replaced by a newer measurement"
# The least for verdicts. Below them, as in the study "smoke", numbers only show that everything runs.
UPDATES, PROMPTS = 100, 16
KEYS_NAMED = 3  # of those in which a record that is left out differs


def settings(record: Record) -> dict[str, Any]:
    """The settings of a record by dotted key, with its schema version and the kind of device it was measured on.

    Updates that a budget buys are left out: the budget is the setting, and buys each arm its own number. With a budget
    by convergence they are the most that an arm may take, which is a setting.
    """
    held = {key.removeprefix("model."): value for key, value in flat(record.cell).items()}
    if record.cell.get("train", {}).get("budget", {"unit": "convergence"})["unit"] != "convergence":
        held.pop("train.updates", None)
    return {**held, "schema_version": record.schema_version, "device": device_kind(record)}


def device_kind(record: Record) -> str:
    """``cpu`` or ``gpu``; empty where the record does not say."""
    name = str(record.environment.get("device") or "")
    return name if name in ("", "cpu", "mps") else "gpu"


def differences(a: Record, b: Record, free: Iterable[str] = (), *, same_row: bool = False) -> list[str]:
    """The dotted keys in which two records differ although they must agree; empty: they may share a table.

    Args:
        free: keys, or prefixes up to a dot, that may differ because the table is about them.
        same_row: whether the two are to be pooled as one row (seeds of one arm). Then what an arm may choose and what
            a paradigm fixes must agree too.
    """
    skipped = (*PER_RUN, *free) if same_row else (*PER_RUN, *BY_NATURE, *PER_ARM, *own_train(a), *own_train(b), *free)
    if _is_arm(a) != _is_arm(b):
        skipped = (*skipped, *OF_ARMS)
    here, there = settings(a), settings(b)
    if not same_row:
        own = {*here.get("own_backbone", ()), *there.get("own_backbone", ())}
        skipped = (*skipped, *(f"backbone.{field}" for field in own))
    if not (here["device"] and there["device"]):
        skipped = (*skipped, "device")
    keys = [key for key in {**here, **there} if here.get(key) != there.get(key)]
    return [key for key in keys if not within(key, skipped)]


def own_train(record: Record) -> tuple[str, ...]:
    """The settings of the optimisation that the arm of a record has of its own, as dotted keys."""
    about = record.how.settings if record.how else {}
    return tuple(f"train.{key}" for key in about.get("own_train", ()))


def within(key: str, prefixes: Iterable[str]) -> bool:
    """Whether a dotted key is one of ``prefixes`` or lies below one."""
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def named(keys: Sequence[str]) -> str:
    """The first few of the keys in which two records differ, in one string."""
    return ", ".join(keys[:KEYS_NAMED])


@dataclass(frozen=True)
class Selection:
    """The records that share a table, oldest first, and how many are left out, by the keys in which they differ."""

    kept: list[Record]
    left_out: dict[str, int]


def row_of(record: Record, keys: Sequence[str] = ()) -> Hashable:
    """What a row is: a system, at its values of ``keys``, the settings that an axis gives rows of their own."""
    values = flat(record.cell) if keys else {}
    return record.system, *(repr(values.get(key)) for key in keys)


def select(
    records: Iterable[Record], free: Sequence[str] = (), rows: Sequence[str] = (), per_arm: Sequence[str] = ()
) -> Selection:
    """The records of one study that share a table: those that agree with the newest arm (or the newest reference).

    Of a system that was measured with several settings of its own, the newest stands, and of a seed that was measured
    twice too. Snapshots stand only beside the end of their training.

    Args:
        free: what may differ between any two rows, because the axis varies it or it follows from what it varies.
        rows: the settings (dotted keys of the cell) that, with the system, make a row; they are free as well.
        per_arm: what may differ between systems, but not between the rows of one, in addition to ``PER_ARM``.
    """
    held = sorted(latest(records).values(), key=lambda r: r.created)
    if not held:
        return Selection([], {})
    row = functools.partial(row_of, keys=rows)
    out: dict[str, int] = {}

    def keep(found: list[Record], why: Callable[[Record], str]) -> list[Record]:
        kept = []
        for record in found:
            reason = why(record)
            if reason:
                out[reason] = out.get(reason, 0) + 1
            else:
                kept.append(record)
        return kept

    varied = (*free, *(key.removeprefix("model.") for key in rows))
    model = _model_of(held)
    kept = keep(held, lambda r: named(differences(r, model, (*varied, *per_arm))))
    last = {r.system: r for r in _scored_last(kept)}
    kept = keep(kept, lambda r: named(differences(r, last[r.system], varied, same_row=True)))
    ended = {row(r) for r in kept if r.ended}
    kept = keep(kept, lambda r: "" if row(r) in ended else SNAPSHOTS)
    place = {(row(r), r.seed, None if r.ended else r.at_updates): r for r in _scored_last(kept)}

    def again(record: Record) -> str:
        stands = place[row(record), record.seed, None if record.ended else record.at_updates]
        return "" if stands is record else named(differences(record, stands, same_row=True)) or AGAIN

    return Selection(keep(kept, again), out)


def partition(records: Iterable[Record], free: Sequence[str] = ()) -> list[list[Record]]:
    """Records in groups that may share a table each, in the order in which they come."""
    groups: list[list[Record]] = []
    for record in records:
        group = next((group for group in groups if not differences(record, group[0], free)), None)
        if group is None:
            groups.append([record])
        else:
            group.append(record)
    return groups


def newest_of(records: Sequence[Record]) -> Record:
    """The newest arm, or the newest reference where there is no arm: its settings are the table's."""
    return max(records, key=lambda r: (r.kind == "paradigm", r.created))


def left_out_lines(left_out: Mapping[str, int]) -> list[str]:
    """``3 that differ in train.batch``, one for each reason."""
    plain = (SNAPSHOTS, AGAIN)
    found = []
    for why, n in left_out.items():
        verb = "differs" if n == 1 else "differ"
        found.append(f"{n} {why}" if why in plain else f"{n} that {verb} in {why}")
    return found


def too_short(records: Sequence[Record]) -> str:
    """Why the arms of a table cannot be compared yet; empty where they can.

    Args:
        records: of the table's trained arms.
    """
    updates = [record.training.updates for record in records if record.training]
    stated = [record.cell.get("evaluation") or {} for record in records]
    prompts = [eval_set["prompts"] for eval_set in stated if "prompts" in eval_set]
    lacking = []
    if updates and min(updates) < UPDATES:
        lacking.append(f"{count(min(updates), 'update')} of training (at least {UPDATES})")
    if prompts and min(prompts) < PROMPTS:
        lacking.append(f"{count(min(prompts), 'prompt')} (at least {PROMPTS})")
    return f"too short to compare: {' and '.join(lacking)}" if lacking else ""


def _scored_last(records: Iterable[Record]) -> list[Record]:
    """Records in their order, those with scores behind the others: a failed cell takes nobody's place."""
    return sorted(records, key=lambda r: r.status == "ok")


def _model_of(records: Sequence[Record]) -> Record:
    """The record whose settings are those of the table: of the newest that has scores and is no snapshot.

    Where it does not state its device, it gets that of the newest record of its kind that does, because a record
    without a device agrees with any, and two of them would bring different devices into one table.
    """
    scored = [r for r in records if r.status == "ok"] or records
    newest = newest_of([r for r in scored if r.ended] or scored)
    device = next((d for r in reversed(scored) if r.kind == newest.kind and (d := r.environment.get("device"))), "")
    return dataclasses.replace(newest, environment={**newest.environment, "device": device})


def _is_arm(record: Record) -> bool:
    """Whether the record has a model's settings; a baseline of another library has those of the arm beside it."""
    return record.kind == "paradigm" or bool(record.cell.get("peer"))
