"""The interface between waveforms and paradigms: a representation turns audio into latents and back.

Conventions. A waveform is mono float32 (B, N) in [-1, 1] at ``spec.sample_rate``. A latent sequence is (B, T, D) at
``spec.frame_rate_hz``. One encoder offers two views, as in Tal et al. 2025, appendix E.1: the continuous latents BEFORE
the quantiser (for flow matching and the other continuous paradigms) and the residual-quantiser codes (B, K, T) of the
same latents (for the token paradigm).

Between a latent and a model there is only the scalar normalisation of Tal et al. 2025, appendix E.2,

    z_norm = (z - mean) / std

with one mean and one std for the whole corpus (``representations.latents.normalisation`` measures them).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..common.config import config_hash
from ..common.errors import UserError
from .spec import LatentSpec


class Representation(nn.Module):
    """Waveform <-> latents <-> codes. Subclasses set ``spec`` and ``fingerprint`` and implement the four maps.

    Attributes:
        spec: shapes and rates, un-normalised (mean 0, std 1).
        fingerprint: hex digest that changes if and only if the weights or the configuration change; the key of latent
            caches.
    """

    spec: LatentSpec
    fingerprint: str

    @property
    def device(self) -> torch.device:
        """The device of its weights; the CPU if it has none."""
        first = next(itertools.chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if first is None else first.device

    def whole_frames(self, wav_BN: Tensor) -> Tensor:
        """(B, N) cropped or zero-padded at its end to the nearest whole number of frames (of groups), at least one."""
        spec = self.spec
        frames = max(spec.group, spec.frames(wav_BN.shape[-1] / spec.sample_rate))
        return fit_length(wav_BN, round(frames * spec.sample_rate / spec.frame_rate_hz))

    def encode(self, wav_BN: Tensor) -> Tensor:
        """Waveform (B, N) to continuous latents (B, T, D) before the quantiser, un-normalised."""
        raise NotImplementedError

    def decode(self, z_BTD: Tensor) -> Tensor:
        """Continuous latents (B, T, D), un-normalised, to waveform (B, N)."""
        raise NotImplementedError

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """Continuous latents to codes (B, K, T), int64; a UserError without codebooks."""
        raise self._no_codebooks()

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) to their latents (B, T, D); a UserError without codebooks."""
        raise self._no_codebooks()

    def _no_codebooks(self) -> UserError:
        return UserError(f"{self.spec.name} has no codebooks; use a continuous paradigm or a codec with a quantiser")


def fingerprint(module: nn.Module, config: Mapping[str, Any]) -> str:
    """Hex digest (16 digits) of every parameter and buffer of ``module``, by name and value, and of ``config``."""
    digest = hashlib.sha256(config_hash(config).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def fit_length(wav_BN: Tensor, samples: int) -> Tensor:
    """Crop (B, N), or zero-pad its end, to (B, samples)."""
    return nn.functional.pad(wav_BN[..., :samples], (0, max(0, samples - wav_BN.shape[-1])))


def last_part(source: str) -> str:
    """The name of a model in records: the last part of its folder or hub id."""
    return source.rstrip("/").rsplit("/", 1)[-1]


def load_pretrained(factory: Any, source: str, what: str, **options: Any) -> Any:
    """Published weights: ``factory.from_pretrained(source, **options)``, with every failure as one line.

    Args:
        factory: a transformers or diffusers class.
        source: a folder that ``save_pretrained`` wrote, or a hub id such as ``"facebook/encodec_32khz"``.
        what: what is being loaded, for the error.

    Raises:
        UserError: no such folder, or the hub does not have it or cannot be reached.
    """
    folder = Path(source).expanduser()
    looks_local = source.startswith(("/", ".", "~")) or source.count("/") > 1
    if not source or (looks_local and not folder.is_dir()):
        raise UserError(f"no {what} at {source!r}; give a folder that save_pretrained wrote, or a hub id")
    try:
        return factory.from_pretrained(str(folder) if folder.is_dir() else source, **options)
    except Exception as error:  # hubs and loaders raise many types; the user needs one line
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(f"cannot load {what} {source!r}: {reason}; give the folder of a downloaded copy") from error


def load_part(factory: Any, source: str, part: str, what: str) -> Any:
    """One model of a pipeline: from the sub-folder ``part`` of a folder or hub id, or from a folder without it itself.

    Raises:
        UserError: see ``load_pretrained``.
    """
    folder = Path(source).expanduser()
    if not source or not folder.is_dir():
        return load_pretrained(factory, source, what, subfolder=part)
    inside = folder / part
    return load_pretrained(factory, str(inside if inside.is_dir() else folder), what)
