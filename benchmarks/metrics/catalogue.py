"""What each metric is called, which end is better, and whether it scores one clip or a whole set.

A metric's full name is its family, an attribute where it has one, and the evaluator's suffix: ``fad_builtin``,
``fad_inf_builtin``, ``adherence_key_builtin``. Tables, verdicts and usability marks read families from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class About:
    """Direction and scope of a family.

    Attributes:
        better: the better end, where there is one.
        scope: ``item``: one score per clip, averaged; ``set``: one score per set, from all its clips together.
        least, most: ends of its range; an interval goes no further.
    """

    better: Literal["higher", "lower", "neither"]
    scope: Literal["item", "set"]
    least: float = -math.inf
    most: float = math.inf


CATALOGUE = {
    "adherence": About("higher", "item"),
    "fad": About("lower", "set"),
    "fad_inf": About("lower", "set"),
    "kad": About("lower", "set"),
    "mad": About("lower", "set", 0.0),
    "precision": About("higher", "set", 0.0, 1.0),
    "recall": About("higher", "set", 0.0, 1.0),
    "density": About("higher", "set", 0.0),
    "coverage": About("higher", "set", 0.0, 1.0),
    "is": About("higher", "set", 1.0),
    "kl": About("lower", "item"),
    "clap": About("higher", "item"),
    "reward": About("higher", "item"),
    "chord_iou": About("higher", "item", 0.0, 1.0),
    "beat_f1": About("higher", "item", 0.0, 1.0),
    "downbeat_f1": About("higher", "item", 0.0, 1.0),
    "melody_chroma": About("higher", "item", 0.0, 1.0),
    "pitch_accuracy": About("higher", "item", 0.0, 1.0),
    "entropy": About("neither", "item", 0.0),
    "si_snr": About("higher", "item", most=100.0),
    "visqol": About("higher", "item", 1.0, 5.0),
    "log_msd": About("lower", "item", 0.0),
    "log_mel_distance": About("lower", "item", 0.0),
    "seam": About("lower", "item"),
    "context_similarity": About("higher", "item", -1.0, 1.0),
}


def family(name: str) -> str:
    """``fad_inf`` of ``fad_inf_builtin``; of a name that is not listed, what stands before its first underscore."""
    parts = name.split("_")
    known = ["_".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((head for head in known if head in CATALOGUE), parts[0])


def about(name: str) -> About:
    """Direction and scope of a metric by its full name; one that is not listed is per item, higher is better."""
    return CATALOGUE.get(family(name), About("higher", "item"))
