"""The one interface between waveforms and the paradigms: a representation turns audio into latents and back.

Conventions. A waveform is mono float32 (B, N) in [-1, 1] at ``spec.sample_rate``. A latent sequence is (B, T, D) at
``spec.frame_rate_hz``. Both views of one encoder are offered, as in Tal et al. 2025 (papers/002, E.1): the continuous
latents BEFORE the quantiser (for flow matching and the other continuous paradigms) and the residual-quantiser codes
(B, K, T) of the same latents (for the token paradigm).

Only the scalar normalisation of papers/002 E.2 stands between a latent and a model: z_norm = (z - mean) / std, with one
mean and one std for the whole corpus (see ``representations.latents.encoded`` for how they are measured).
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..common.config import config_hash, later
from ..common.errors import UserError


@dataclass(frozen=True)
class LatentSpec:
    """What a model must know about its latents.

    Args:
        name: the representation's name, for records.
        sample_rate: of the waveform, Hz.
        frame_rate_hz: latent frames per second.
        dim: D, channels of the continuous latent.
        codebooks: K; 0 means that there is no discrete view.
        cardinality: entries per codebook.
        mean: scalar mean of the latents.
        std: scalar spread of the latents, in the sense of ``normalisation``.
        normalisation: how ``std`` was measured: "paper" (papers/002 E.2), "global", or "none" when not measured.
        group: frames in a row that stand for the same moment (bands of ``mel_vae``); a sequence has whole groups only.
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
        """Latent frames that stand for ``seconds`` of audio (rounded to the nearest whole group)."""
        return round(seconds * self.frame_rate_hz / self.group) * self.group

    def seconds(self, frames: float) -> float:
        """Duration of ``frames`` latent frames."""
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


class Representation(nn.Module):
    """Waveform <-> latents <-> codes. Subclasses set ``spec`` and ``fingerprint`` and implement the four maps.

    Attributes:
        spec: shapes and rates, un-normalised (mean 0, std 1).
        fingerprint: hex digest that changes iff the weights or the configuration change; latent caches are keyed by it.
    """

    spec: LatentSpec
    fingerprint: str

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU where it has none."""
        held = next(itertools.chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if held is None else held.device

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) to continuous latents (B, T, D) before the quantiser, un-normalised."""
        raise NotImplementedError

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Continuous latents (B, T, D), un-normalised, to waveform (B, N)."""
        raise NotImplementedError

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """Continuous latents to codes (B, K, T), int64.

        Raises:
            UserError: the representation has no codebooks.
        """
        raise UserError(f"{self.spec.name} has no codebooks; use a continuous paradigm or a codec with a quantiser")

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) to the latents (B, T, D) that they stand for.

        Raises:
            UserError: the representation has no codebooks.
        """
        raise UserError(f"{self.spec.name} has no codebooks; use a continuous paradigm or a codec with a quantiser")


def fingerprint(module: nn.Module, config: Mapping[str, Any]) -> str:
    """Hex digest (16 digits) of every parameter and buffer of ``module``, by name and value, and of ``config``."""
    digest = hashlib.sha256(config_hash(config).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def fit_length(wav_BN: Tensor, samples: int) -> Tensor:
    """Crop or zero-pad the end of (B, N) to (B, samples)."""
    return nn.functional.pad(wav_BN[..., :samples], (0, max(0, samples - wav_BN.shape[-1])))
