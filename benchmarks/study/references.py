"""Floors and ceilings: systems without a model, scored like every arm and shown as rows of the same table.

Each makes one clip per prompt from the prompts' own audio (B, N), the representation and a seed. ``real`` is the
prompts' own audio, which is disjoint from the reference set of the distances, so its distance is that of real to real.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...common.seeds import seed_for

if TYPE_CHECKING:
    from ...representations import Representation

ENCODE_AT_ONCE = 16
CEILINGS = ("real", "codec_continuous", "codec_quantised")
FLOORS = ("shuffled_captions", "noise", "silence")


def real(audio_BN: np.ndarray, representation: Representation, seed: int) -> np.ndarray:
    """Held-out real audio of the prompts: the ceiling."""
    return audio_BN


def codec_continuous(audio_BN: np.ndarray, representation: Representation, seed: int) -> np.ndarray:
    """Real audio through encoder and decoder: the ceiling of every paradigm over continuous latents."""
    return _coded(audio_BN, representation, quantised=False)


def codec_quantised(audio_BN: np.ndarray, representation: Representation, seed: int) -> np.ndarray:
    """Real audio through encoder, quantiser and decoder: the ceiling of every paradigm over codes."""
    return _coded(audio_BN, representation, quantised=True)


def shuffled_captions(audio_BN: np.ndarray, representation: Representation, seed: int) -> np.ndarray:
    """Real audio of another prompt: perfect quality that ignores the caption, the floor of adherence."""
    other: np.ndarray = audio_BN[another(len(audio_BN), seed)]
    return other


def another(n: int, seed: int) -> np.ndarray:
    """The index of another prompt for each of n >= 2 prompts, (n,): one cycle through all, so none keeps its own."""
    order = np.random.default_rng(seed_for(seed, "shuffled_captions")).permutation(n)
    other = np.empty(n, dtype=int)
    other[order] = np.roll(order, 1)
    return other


def noise(audio_BN: np.ndarray, representation: Representation, seed: int) -> np.ndarray:
    """White noise as loud as the real clip (same root mean square)."""
    return as_loud_noise(audio_BN, seed_for(seed, "noise"))


def as_loud_noise(audio_BN: np.ndarray, seed: int) -> np.ndarray:
    """White noise with the root mean square of each clip (B, N)."""
    rng = np.random.default_rng(seed)
    rms_B1 = np.sqrt(np.mean(np.square(audio_BN), axis=1, keepdims=True))
    noise_BN: np.ndarray = np.clip(rng.standard_normal(audio_BN.shape) * rms_B1, -1, 1)
    return noise_BN.astype(np.float32)


def silence(audio_BN: np.ndarray, representation: Representation, seed: int) -> np.ndarray:
    """Silence."""
    return np.zeros_like(audio_BN)


REFERENCES: dict[str, Callable[[np.ndarray, Representation, int], np.ndarray]] = {
    f.__name__: f for f in (real, codec_continuous, codec_quantised, shuffled_captions, noise, silence)
}


def _coded(audio_BN: np.ndarray, representation: Representation, quantised: bool) -> np.ndarray:
    import torch  # here, because reports read this module

    from ...representations.base import fit_length

    parts = []
    with torch.no_grad():
        for start in range(0, len(audio_BN), ENCODE_AT_ONCE):
            z_BTD = representation.encode(torch.from_numpy(audio_BN[start : start + ENCODE_AT_ONCE]))
            if quantised:
                z_BTD = representation.dequantise(representation.quantise(z_BTD))
            parts.append(fit_length(representation.decode(z_BTD), audio_BN.shape[1]).clamp(-1, 1).numpy())
    return np.concatenate(parts)
