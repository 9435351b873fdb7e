"""How a paradigm wants to be tried by ``bench check``: small settings, so that the whole suite fits one core.

A paradigm sets the class attribute ``trial``; with the default it is tried as it comes, only the backbone is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ByHeart:
    """What it takes to learn one batch of two clips by heart and to play them back.

    Attributes:
        updates: of AdamW under a one-cycle schedule, peak 5e-3.
        copies: how often an update sees each clip, every time under other draws of noise.
        options, backbone: beside those of the trial, e.g. a wider head.
        sampler: settings that leave least to chance, such as temperature 0.
    """

    updates: int = 250
    copies: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """Settings of a trial; what is not named keeps its default.

    Attributes:
        options: of the paradigm, e.g. narrow heads.
        sampler: its settings, e.g. few steps.
        filling: options that it needs beside, to fill spans.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    filling: Mapping[str, Any] = field(default_factory=dict)
    by_heart: ByHeart = field(default_factory=ByHeart)
