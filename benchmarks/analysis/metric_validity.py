"""Whether a metric may decide on a corpus, and from which size on a difference in it counts.

Three things are asked, and tables, ``bench compare`` and claims ask them here:

- Does the metric measure what it decides? A distance by an attribute tagger is no measure of fidelity, and a Frechet
  distance of fewer than ``FAD_CLIPS`` clips is mostly bias.
- Does it tell the study's ceilings (real audio, codec reconstructions) from its floors? Floors are noise and silence;
  for metrics that read the caption or the clip's controls also real audio of another caption; for filled spans every
  fill without a model. Its intervals must set every ceiling apart from every floor. Where filled spans are measured,
  metrics of whole clips do not decide.
- Was it validated? A metric of fidelity must order known degradations of real audio of this corpus
  (``validation.py``, ``bench validate-metrics``). A metric that reads captions must order exchanged clips, where that
  was measured. Of filled spans and of windows, the same metric of whole clips is asked.

The margins of "same" are fixed before systems are compared: they come from the validation, or, for metrics that are not
validated by degradations, from the way between real audio and its nearest floor.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...common.lines import count
from ..metrics.catalogue import FIDELITY_FAMILIES, TAGGERS, about, evaluator_of, family, is_fidelity, of_whole_clips
from ..metrics.metric import Metric
from ..study.references import BASELINES, CEILINGS, FLOORS
from .result_table import ResultTable
from .validation import Validation, find_validation

WITHOUT_CAPTIONS = ("noise", "silence")  # the floors of metrics that read nothing but the clip
SAME = 0.05  # of the distance from real audio to its nearest floor
FAD_CLIPS = 256  # below, the bias of a Frechet distance is larger than what it measures (study samplesize)
CONTROLS = (  # they read the clip's controls
    "chord_iou", "beat_f1", "downbeat_f1", "drum_correlation", "melody_chroma", "pitch_accuracy",
)  # fmt: skip
SPANS = ("seam", "context_similarity")  # of a filled span, whose floors are fills without a model


def why_no_verdict(table: ResultTable, name: str) -> str:
    """Why metric ``name`` gives no verdict in a table; empty where it may decide."""
    if is_tagger_distance(name):
        return "a distance by the attribute tagger is no measure of fidelity"
    if any(f"{name}_span" in record.metrics for row in table.rows for record in row.good):
        return f"most of a filled clip is as every system was given it; {name}_span is of the filled span"
    reason = unusable(name, _references(table, name))
    if reason:
        return reason
    if family(name) == "fad" and (n := _clips(table, name)) < FAD_CLIPS:
        return f"fad of {count(n, 'clip')} is mostly bias; it needs {FAD_CLIPS}, set evaluation.prompts"
    if family(name) in (*CONTROLS, *SPANS) and reach(_references(table, name), name) is None:
        return "real audio and a floor are not both measured; name them in evaluation.references"
    if not is_fidelity(name) and not about(name).reads_captions:
        return ""
    validation, measured = _validation(table, name), of_whole_clips(name)
    if validation is not None and measured in validation.metrics:
        return validation.problem(measured)
    if not is_fidelity(name):
        return ""  # floors and ceilings of the study decide
    if name.endswith("_window") and table.newest.axis == "frame_rate":
        return "clips of this length were not validated on this corpus"  # the command measures whole clips alone
    return f"not validated on this corpus: run bench validate-metrics {table.study}"


def is_tagger_distance(name: str) -> bool:
    """Whether a metric is a distance or a diversity by the outputs of an attribute tagger."""
    return family(name) in FIDELITY_FAMILIES and evaluator_of(name) in TAGGERS


def margin(table: ResultTable, name: str) -> float | None:
    """The largest difference that counts as none, in the metric's unit; None: not known, so nothing is called the same.

    For a metric of fidelity it is the effect of white noise at 30 dB on real audio of the corpus; for one that reads
    captions, 5% of the effect of exchanging all clips; for others, and where that was not measured, 5% of the way from
    real audio to its nearest floor in the table.
    """
    validation = _validation(table, name)
    found = validation.margin(of_whole_clips(name)) if validation is not None else None
    if found is None and not is_fidelity(name):
        return same_within(name, _references(table, name))
    return found


def moves_with_loudness(table: ResultTable, name: str) -> bool:
    """Whether the metric changes on this corpus when only the level of real audio does; False if not measured."""
    validation = _validation(table, name)
    return validation is not None and validation.moves_with_loudness(of_whole_clips(name))


def unusable(name: str, scores: Mapping[str, Metric]) -> str:
    """Why metric ``name`` is not usable, given what ceilings and floors score; empty where it is, or none were scored.

    Args:
        scores: system -> metric with its interval; systems that are no ceiling or floor are ignored.
    """
    sign = 1.0 if about(name).better == "higher" else -1.0
    good = {system: scores[system] for system in CEILINGS if _known(scores.get(system))}
    bad = {system: scores[system] for system in _floors(name, scores) if _known(scores.get(system))}
    for ceiling, high in good.items():
        for floor, low in bad.items():
            if _worst(high, sign) <= _best(low, sign):
                return f"{floor} ({_figure(low)}) does not differ enough from {ceiling} ({_figure(high)})"
    real = good.pop("real", None)
    for codec, coded in good.items():
        if real is not None and _worst(coded, sign) > _best(real, sign):
            return f"{codec} ({_figure(coded)}) seems better than real ({_figure(real)})"
    return ""


def same_within(name: str, scores: Mapping[str, Metric]) -> float | None:
    """5% of the distance from real audio to its nearest floor, if known."""
    ends = reach(scores, name)
    return None if ends is None else SAME * abs(ends[0] - ends[1])


def reach(scores: Mapping[str, Metric], name: str) -> tuple[float, float] | None:
    """The scores of the floor nearest to real audio and of real audio; None: one is not known, or both are equal."""
    real = scores.get("real", Metric(None)).value
    floors = [value for floor in _floors(name, scores) if (value := scores.get(floor, Metric(None)).value) is not None]
    if real is None or not floors:
        return None
    nearest = min(floors, key=lambda value: abs(value - real))
    return None if nearest == real else (nearest, real)


def _floors(name: str, scores: Mapping[str, Metric]) -> tuple[str, ...]:
    """The floors of a metric; for filled spans all references that are no ceiling and no baseline."""
    if family(name) in SPANS or (name.endswith("_span") and about(name).reads_captions):
        return tuple(system for system in scores if system not in (*CEILINGS, *BASELINES))
    return FLOORS if about(name).reads_captions or family(name) in CONTROLS else WITHOUT_CAPTIONS


def _references(table: ResultTable, name: str) -> dict[str, Metric]:
    """Reference -> its score on a metric; each has one record, which stands for all seeds."""
    rows = [row for row in table.rows if row.kind == "reference" and row.good]
    return {row.system: row.good[0].metrics.get(name, Metric(None)) for row in rows}


def _clips(table: ResultTable, name: str) -> int:
    """The smallest number of clips that a record of the table has for a metric."""
    return min((r.metrics[name].n for row in table.rows for r in row.good if name in r.metrics), default=0)


def _validation(table: ResultTable, name: str) -> Validation | None:
    """The validation of the table's corpus that holds the evaluator of a metric."""
    evaluator = evaluator_of(name)
    return find_validation(table.newest, table.folder.parent, evaluator) if evaluator else None


def _known(metric: Metric | None) -> bool:
    return metric is not None and metric.value is not None


def _ends(metric: Metric, sign: float) -> list[float]:
    """The interval (or the value alone) with the better end last."""
    assert metric.value is not None
    return sorted(sign * end for end in (metric.low, metric.value, metric.high) if end is not None)


def _worst(metric: Metric, sign: float) -> float:
    return _ends(metric, sign)[0]


def _best(metric: Metric, sign: float) -> float:
    return _ends(metric, sign)[-1]


def _figure(metric: Metric) -> str:
    return f"{metric.value:.3g}"


def at_floor(own: Metric, floor: Metric) -> bool:
    """Whether a score (higher is better) is not above its floor: their intervals overlap, or it is below."""
    return own.low is not None and floor.high is not None and own.low <= floor.high
