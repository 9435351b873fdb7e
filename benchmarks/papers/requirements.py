"""What a contrast must have before it gives a verdict: each function says what is missing, in plain words.

A verdict needs records that may stand together, arms that have stopped learning and lie above the floors, a metric that
is valid on the corpus and that no arm was trained on, and for speed the class of machine that the claim names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...common.lines import count
from ..analysis.comparability import device_kind
from ..analysis.declared import trained_against
from ..analysis.metric_validity import FAD_CLIPS, at_floor, why_no_verdict
from ..analysis.result_table import ResultTable
from ..metrics.catalogue import FIDELITY_FAMILIES, about, evaluator_of, family, is_fidelity, of_whole_clips
from ..report.words import SEEDS
from .contrasts import Contrast, Side
from .record_index import ArmRecords, RecordIndex

FLOOR_ROWS = ("noise", "silence", "sine_chords")  # what nothing that has learnt to make audio lies below
LEARNT = "arms past their learning"
STAND_IN = f"FAD needs {count(FAD_CLIPS, 'clip')} in each set, so KAD by the same judges stands in for it"


@dataclass(frozen=True)
class Lack:
    """Something that a verdict needs and that is missing: what it is, why it counts as missing, and of which arms."""

    what: str
    why: str = ""
    arms: tuple[str, ...] = ()


def in_words(lacks: Iterable[Lack]) -> list[str]:
    """``arms past their learning (ar, fm: no snapshot ...)``: a text for each thing, with all reasons and arms."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for lack in lacks:
        found.setdefault(lack.what, {}).setdefault(lack.why, {}).update(dict.fromkeys(lack.arms))
    return [_with_reasons(what, reasons) for what, reasons in found.items()]


def _with_reasons(what: str, reasons: dict[str, dict[str, None]]) -> str:
    texts = [": ".join(filter(None, [", ".join(arms), why])) for why, arms in reasons.items()]
    inside = "; ".join(text for text in texts if text)
    return f"{what} ({inside})" if inside else what


def metric_names(contrast: Contrast, arms: Sequence[ArmRecords]) -> tuple[list[str], str]:
    """The metrics by which a contrast is tested, and what stands in for what, if anything does.

    Metrics of fidelity count by every judge that all arms have. FAD of fewer than ``FAD_CLIPS`` clips is mostly bias,
    so KAD stands in for it.
    """
    found = _in_common(contrast.metric, arms)
    if family(contrast.metric) != "fad":
        return found, ""
    enough = [name for name in found if min(r.metrics[name].n for arm in arms for r in arm.records) >= FAD_CLIPS]
    if enough:
        return enough, ""
    kernel = _in_common("kad" + contrast.metric.removeprefix("fad"), arms)
    return kernel, STAND_IN if kernel else ""


def _in_common(wanted: str, arms: Sequence[ArmRecords]) -> list[str]:
    """The names of one metric that all arms have: by judges if it is one of fidelity, of clips or of windows alike."""
    held, of_parts = [arm.metrics(wanted) for arm in arms], wanted != of_whole_clips(wanted)
    return [
        name
        for name in held[0]
        if all(name in other for other in held)
        and (name != of_whole_clips(name)) == of_parts
        and (is_fidelity(name) or family(name) not in FIDELITY_FAMILIES)
    ]


def invalid(name: str, tables: Sequence[ResultTable], arms: Sequence[ArmRecords]) -> str:
    """Why a metric gives no verdict on these arms; empty where it may."""
    for table in tables:
        if why := why_no_verdict(table, name):
            return why
    trained = [arm.row.system for arm in arms if any(evaluator_of(name) in trained_against(r) for r in arm.records)]
    return f"{' and '.join(dict.fromkeys(trained))} learnt from its scores" if trained else ""


def learning(sides: Sequence[Side], arms: Sequence[ArmRecords], index: RecordIndex) -> list[Lack]:
    """The arms that may not have stopped learning."""
    return [Lack(LEARNT, why, (side.title,)) for side, arm in zip(sides, arms) if (why := index.still_learning(arm))]


def few_seeds(arms: Sequence[ArmRecords]) -> list[Lack]:
    """Training seeds that are missing: what the trained arms have in common counts; nothing where none is trained."""
    trained = [frozenset(r.seed for r in arm.records) for arm in arms if arm.records[0].config.train is not None]
    if not trained:
        return []
    seeds = len(frozenset.intersection(*trained))
    return (
        [Lack(count(SEEDS, "training seed"), f"there {'is' if seeds == 1 else 'are'} {seeds}")] if seeds < SEEDS else []
    )


def floors(contrast: Contrast, arms: Sequence[ArmRecords], names: Sequence[str]) -> list[Lack]:
    """The arms that lie at the floor of captions, or below a floor by one of these metrics."""
    lacks = []
    for i, (side, arm) in enumerate(zip(contrast.sides, arms)):
        if arm.row.kind == "paradigm" and not (i == 1 and contrast.b_may_fail):
            reasons = ["it follows no caption"] * _follows_no_caption(arm)
            reasons += [
                f"no better than {row} by {name}" for name in names for row in FLOOR_ROWS if _below(arm, name, row)
            ]
            lacks += [Lack("arms above the floors", reason, (side.title,)) for reason in reasons]
    return lacks


def hardware(contrast: Contrast, arms: Sequence[ArmRecords]) -> list[Lack]:
    """The class of machine that a claim about speed names, where these times are of another."""
    kinds = dict.fromkeys(
        device_kind(record) or "a machine that is not named" for arm in arms for record in arm.records
    )
    if not contrast.hardware or set(kinds) <= {contrast.hardware}:
        return []
    return [Lack("times of a GPU, which the claim is about", f"these are of: {', '.join(kinds)}")]


def _below(arm: ArmRecords, name: str, floor: str) -> bool:
    """Whether an arm is no better than a floor by a metric."""
    row, own = arm.table.row(floor), arm.value(name).value
    other = row.good[0].metrics[name].value if row and name in row.good[0].metrics else None
    if own is None or other is None:
        return False
    return own <= other if about(name).better == "higher" else own >= other


def _follows_no_caption(arm: ArmRecords) -> bool:
    """Whether no score of clip and caption is above that of real audio of other captions; False: none was measured."""
    floor = arm.table.row("shuffled_captions")
    names = [name for wanted in ("adherence", "clap") for name in arm.metrics(wanted)]
    if floor is None:
        return False
    pairs = [(arm.value(name), floor.good[0].metrics[name]) for name in names if name in floor.good[0].metrics]
    return bool(pairs) and all(at_floor(own, other) for own, other in pairs)
