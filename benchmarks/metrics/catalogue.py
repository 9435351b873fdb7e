"""The metrics: which end is better, whether a metric scores a clip or a set, its range and its unit.

A metric's full name is its family, an attribute where it has one, and the name of the evaluator whose outputs it is
computed from: ``fad_builtin``, ``fad_inf_builtin``, ``adherence_key_builtin``. Everything that differs between families
is stated here once, and tables, intervals, comparisons and the check of a metric's validity read it. To add a metric,
write its function in a module beside this one, list its family in ``CATALOGUE``, and call the function where clips are
scored (docs/metrics.md, "Adding a metric").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .metric import Metric, metric
from .statistics import Interval

LOWEST, HIGHEST = -math.inf, math.inf


@dataclass(frozen=True)
class MetricInfo:
    """What the suite knows of a family of metrics.

    Attributes:
        better: the better end; ``neither`` for a metric that only describes.
        scope: ``item``: one score per clip, averaged over clips; ``set``: one score computed from all clips together.
        least, most: ends of its range; intervals are cut there.
        unit: of its values; empty for shares, scores and distances without a unit.
        compared: tables give verdicts on differences between systems in it, paired by clip; needs a score per clip, or
            ``smooth``.
        reads_captions: it depends on the caption, so real audio of another caption is a floor; for other metrics such
            audio is as good as real audio.
        smooth: of a set-level metric: it changes only a little with one clip, so each clip has a contribution
            (``statistics.contributions``), and systems can be compared clip by clip.
    """

    better: Literal["higher", "lower", "neither"]
    scope: Literal["item", "set"]
    least: float = LOWEST
    most: float = HIGHEST
    unit: str = ""
    compared: bool = False
    reads_captions: bool = False
    smooth: bool = False


CATALOGUE = {
    # Of two sets of clips, from embeddings: frechet.py, kad.py, mauve.py, manifold.py
    "fad": MetricInfo("lower", "set", compared=True, smooth=True),
    "fad_inf": MetricInfo("lower", "set"),
    "kad": MetricInfo("lower", "set", compared=True, smooth=True),
    "mad": MetricInfo("lower", "set", 0.0, smooth=True),
    "precision": MetricInfo("higher", "set", 0.0, 1.0),
    "recall": MetricInfo("higher", "set", 0.0, 1.0),
    "density": MetricInfo("higher", "set", 0.0),
    "coverage": MetricInfo("higher", "set", 0.0, 1.0),
    # Of two sets of clips, from octave-band levels: bands.py
    "band_level": MetricInfo("lower", "set", 0.0, unit="dB", compared=True, smooth=True),
    # From class posteriors: posteriors.py
    "is": MetricInfo("higher", "set", 1.0, smooth=True),
    "kl": MetricInfo("lower", "item", unit="nats", compared=True, reads_captions=True),
    # Of a clip and its caption: adherence.py; of a clip alone: rewards
    "adherence": MetricInfo("higher", "item", compared=True, reads_captions=True),
    "clap": MetricInfo("higher", "item", compared=True, reads_captions=True),
    "reward": MetricInfo("higher", "item", compared=True),
    # Of a clip's level: loudness.py
    "loudness_lufs": MetricInfo("neither", "item", unit="LUFS"),
    "peak": MetricInfo("neither", "item", 0.0),
    # Of a clip and its temporal controls: control.py
    "chord_iou": MetricInfo("higher", "item", 0.0, 1.0),
    "beat_f1": MetricInfo("higher", "item", 0.0, 1.0),
    "downbeat_f1": MetricInfo("higher", "item", 0.0, 1.0),
    "drum_correlation": MetricInfo("higher", "item", -1.0, 1.0),
    "melody_chroma": MetricInfo("higher", "item", 0.0, 1.0),
    "pitch_accuracy": MetricInfo("higher", "item", 0.0, 1.0),
    # Of sampling: entropy.py
    "entropy": MetricInfo("neither", "item", 0.0, unit="nats"),
    # Of a clip and its reconstruction by a codec: reconstruction.py
    "si_snr": MetricInfo("higher", "item", most=100.0, unit="dB"),
    "visqol": MetricInfo("higher", "item", 1.0, 5.0),
    "log_msd": MetricInfo("lower", "item", 0.0),
    "log_mel_distance": MetricInfo("lower", "item", 0.0, unit="nats"),
    # Of a clip and the nearest training clip: replication.py
    "replication": MetricInfo("neither", "item", 0.0),
    "replication_share": MetricInfo("neither", "item", 0.0, 1.0),
    # Of a filled span: seam.py and adherence.cosine_similarity
    "seam_rank": MetricInfo("neither", "item", 0.0, 1.0),
    "seam": MetricInfo("lower", "set", compared=True, smooth=True),
    "context_similarity": MetricInfo("higher", "item", -1.0, 1.0, compared=True),
}


# An attribute tagger detects what a caption names and little else: its distances are recorded, but measure no fidelity.
TAGGERS = ("builtin",)
FIDELITY_FAMILIES = frozenset(  # each needs a judge's outputs
    ("fad", "fad_inf", "kad", "mad", "precision", "recall", "density", "coverage", "is", "kl", "band_level")
)


def family(name: str) -> str:
    """``fad_inf`` of ``fad_inf_builtin``; of a name that is not listed, the part before its first underscore."""
    parts = name.split("_")
    known = ["_".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((head for head in known if head in CATALOGUE), parts[0])


def of_whole_clips(name: str) -> str:
    """``kad_musicnn`` of ``kad_musicnn_span``: the same metric of whole clips, not of spans or windows."""
    return name.removesuffix("_span").removesuffix("_window")


def evaluator_of(name: str) -> str:
    """``musicnn`` of ``kad_musicnn`` and of ``kad_musicnn_span``, ``builtin`` of ``adherence_key_builtin``; empty where
    no evaluator is named.
    """
    rest = of_whole_clips(name).removeprefix(family(name)).removeprefix("_")
    if tagger := next((one for one in TAGGERS if rest.endswith(f"_{one}")), ""):
        return tagger  # the attribute stands before it
    return rest


def is_fidelity(name: str) -> bool:
    """Whether a metric measures fidelity: a distance or a diversity of two sets by a judge, not by a tagger."""
    evaluator = evaluator_of(name)
    return family(name) in FIDELITY_FAMILIES and evaluator != "" and evaluator not in TAGGERS


def about(name: str) -> MetricInfo:
    """The entry of a metric by its full name; a family that is not listed is per clip and higher is better."""
    return CATALOGUE.get(family(name), MetricInfo("higher", "item"))


def metric_of(name: str, found: Interval) -> Metric:
    """The figure of a record: an estimate with its interval, under the metric's full name."""
    kind = about(name)
    low, high = max(found.low, kind.least), min(found.high, kind.most)
    return metric(found.estimate, low=low, high=high, n=found.n_items, better=kind.better, unit=kind.unit)
