"""Settings with which ``bench check`` tests a paradigm: small enough that all checks run on one core in seconds.

A paradigm sets the class attribute ``conformance``. By default it is tested with its own default options and sampler
settings; only the backbone is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MemorisationSettings:
    """What a model needs to memorise one batch of two clips and to generate them again.

    Attributes:
        updates: number of updates of AdamW, under a one-cycle schedule with the peak 5e-3.
        copies: how often an update sees each clip, every time with other draws of noise.
        options: options of the paradigm, in addition to those of ``ConformanceSettings``, e.g. a wider head.
        backbone: settings of the backbone that replace those of the check.
        sampler: sampler settings that leave least to chance, such as temperature 0.
    """

    updates: int = 250
    copies: int = 4
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ConformanceSettings:
    """Settings of the checks; what is not named keeps its default.

    Attributes:
        options: options of the paradigm, e.g. narrow heads.
        sampler: its sampler settings, e.g. few steps.
        inpainting: further options that it needs to inpaint.
        memorisation: settings of the checks ``learning`` and ``playback``.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    inpainting: Mapping[str, Any] = field(default_factory=dict)
    memorisation: MemorisationSettings = field(default_factory=MemorisationSettings)
