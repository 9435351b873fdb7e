"""The shape of latents, as plain data that can be read without torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..common.config import later

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LatentSpec:
    """Shape, rates and normalisation of latents: all that a model must know about them.

    Args:
        name: the representation's name, for records.
        sample_rate: of the waveform, Hz.
        frame_rate_hz: latent frames per second.
        dim: D, channels of the continuous latent.
        codebooks: K; 0 means that there is no discrete view.
        cardinality: entries per codebook.
        mean: scalar mean of the latents.
        std: scalar standard deviation of the latents, as ``normalisation`` defines it.
        normalisation: how ``std`` was measured: "paper" (Tal et al. 2025, appendix E.2), "global", or "none" when not
            measured.
        group: consecutive frames for the same time (the bands of ``mel_vae``); a sequence holds whole groups.
    """

    name: str
    sample_rate: int
    frame_rate_hz: float
    dim: int
    codebooks: int = 0
    cardinality: int = 0
    mean: float = 0.0
    std: float = 1.0
    normalisation: str = "none"
    group: int = later(1)

    def frames(self, seconds: float) -> int:
        """Number of latent frames of ``seconds`` of audio, rounded to the nearest whole group."""
        return round(seconds * self.frame_rate_hz / self.group) * self.group

    def seconds(self, frames: float) -> float:
        """Duration of ``frames`` latent frames, in seconds."""
        return frames / self.frame_rate_hz

    def normalise(self, z: Tensor) -> Tensor:
        """Raw latents to model space, (z - mean) / std; any shape."""
        return (z - self.mean) / self.std

    def denormalise(self, z: Tensor) -> Tensor:
        """Model space to raw latents, z * std + mean; any shape."""
        return z * self.std + self.mean

    def replace(self, **changes: Any) -> LatentSpec:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
