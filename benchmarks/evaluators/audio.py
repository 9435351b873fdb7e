"""Preparation of audio, the same for every evaluator: mono, the evaluator's rate, peak at -1 dBFS, fixed windows.

Resampling or level alone can move a Frechet distance by tens, and with a random crop a clip has no fixed embedding. So
each step is fixed here, computed in float64, and stated in the record (``POLICY``). Networks run on one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from math import gcd

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ...common.errors import UserError
from ...common.lines import count
from .base import Audio

PEAK_DBFS = -1.0
SILENCE_DBFS = -80.0  # a clip with a lower peak is silent: it is counted and its level is not changed
MIN_SECONDS = 0.1
POLICY = {
    "channels": "mono",
    "resampling": "polyphase (scipy.signal.resample_poly), float64",
    "peak_dbfs": PEAK_DBFS,
    "silence_dbfs": SILENCE_DBFS,
    "windows": "consecutive over the whole clip, the last aligned to its end; results averaged",
}


def check(audio: Audio, sample_rate: int, name: str) -> None:
    """Refuse clips that cannot be scored.

    Raises:
        UserError: no clips, a clip that is not mono, too short, or holds NaN or infinity.
    """
    if not len(audio):
        raise UserError(f"{name}: no clips to score; is the folder empty?")
    for i, wav in enumerate(audio):
        samples = np.asarray(wav)
        if samples.ndim != 1:
            raise UserError(f"{name}: clip {i} has shape {samples.shape}; give mono clips (N,)")
        if len(samples) < MIN_SECONDS * sample_rate:
            raise UserError(f"{name}: clip {i} lasts {len(samples) / sample_rate:.3f} s; give at least {MIN_SECONDS} s")
        if not np.isfinite(samples).all():
            raise UserError(f"{name}: clip {i} holds NaN or infinity; mend it or leave it out")


def check_captions(audio: Audio, captions: Sequence[str] | None) -> None:
    """Refuse captions that are not one per clip.

    Raises:
        UserError: unequal numbers.
    """
    if captions is not None and len(captions) != len(audio):
        raise UserError(f"{count(len(captions), 'caption')} for {count(len(audio), 'clip')}: give one caption per clip")


def is_silent(wav: NDArray[np.floating]) -> bool:
    """Whether the peak of a clip (N,) is below -80 dBFS."""
    return bool(np.abs(wav).max(initial=0.0) < 10 ** (SILENCE_DBFS / 20))


def prepare(wav: NDArray[np.floating], sample_rate: int, target_rate: int) -> NDArray[np.float32]:
    """A clip (N,) resampled to ``target_rate`` and, unless silent, scaled to a peak of -1 dBFS; float32."""
    samples = np.asarray(wav, np.float64)
    if sample_rate != target_rate:
        common = gcd(sample_rate, target_rate)
        samples = resample_poly(samples, target_rate // common, sample_rate // common)
    if not is_silent(samples):
        samples = samples * (10 ** (PEAK_DBFS / 20) / np.abs(samples).max())
    return samples.astype(np.float32)


def windows(wav: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A clip (N,) as consecutive windows (W, size), the last aligned to its end; a short clip is padded with zeros."""
    if len(wav) <= size:
        return np.pad(wav, (0, size - len(wav)))[None]
    starts = [*range(0, len(wav) - size, size), len(wav) - size]
    return np.stack([wav[start : start + size] for start in starts])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside the block, so that sums have one order on every machine."""
    import torch  # here, because `bench list` reads this module

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
