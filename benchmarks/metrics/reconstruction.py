r"""Reconstruction metrics of codecs: SI-SNR, ViSQOL and log-mel distances of pairs of waveforms.

They need the original, so they apply to codecs and not to generated clips. They are read together: SI-SNR compares
samples and penalises an inaudible delay, log-mel distances ignore the phase, ViSQOL models human hearing and was fitted
to artefacts of codecs.

- ``si_snr``: 10 log10(|a x|^2 / |y - a x|^2) with a = <y, x> / |x|^2, means removed, in dB (Le Roux et al., 2019,
  "SDR - half-baked or well done?", Eq. 3-4). Higher is better; limited to 100 dB, so that an exact copy has a value.
- ``log_mel_distance``: mean absolute difference of natural log-mel magnitudes, the definition that codecs are trained
  with (``representations/codecs/losses.py``). Lower is better.
- ``log_msd``: the same over three resolutions (windows of 512, 1024 and 2048 samples with 40, 64 and 96 bands), in
  DECIMAL logarithms, averaged. Lower is better. Tal et al. 2025, appendix B reports a log-MSD without a definition: mel
  or multi-scale, natural or decimal, absolute or squared are all open. This one is both mel and multi-scale, and its
  values are of the published size, but it may differ from theirs, so only rankings compare.
- ``visqol``: MOS-LQO of ViSQOL v3 in audio mode (Chinen et al., 2020, arXiv:2004.09584), from 1 to about 4.75, at
  48 kHz, to which clips are resampled. Optional: ``pip install visqol-python``.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.signal import resample_poly

from ...common.errors import UserError
from ...representations.codecs import losses
from .arrays import Float

LIMIT = 1e-10  # noise below this share of the signal counts as this share: 100 dB
VISQOL_RATE = 48_000
NO_VISQOL = "the package visqol-python is not installed; pip install 'paradigm-bench[visqol]'"


def si_snr(reference: ArrayLike, estimate: ArrayLike) -> float:
    """Scale-invariant signal-to-noise ratio of waveforms (N,), (N,) in dB; NaN where either is silent.

    Raises:
        UserError: unequal lengths, not mono, NaN or infinity.
    """
    x, y = _pair(reference, estimate)
    x, y = x - x.mean(), y - y.mean()
    if not x.any() or not y.any():
        return math.nan
    target = (y @ x) / (x @ x) * x
    noise, signal = np.square(y - target).sum(), np.square(target).sum()
    floor = LIMIT * np.square(y).sum()
    return float(10 * np.log10(max(signal, floor) / max(noise, floor)))


def log_mel_distance(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Mean absolute difference of log-mel magnitudes of waveforms (N,), (N,), in nats.

    Raises:
        UserError: see ``si_snr``.
    """
    pair = [torch.from_numpy(wav).float()[None] for wav in _pair(reference, estimate)]
    with torch.no_grad():
        return float(losses.log_mel_distance(pair[0], pair[1], sample_rate)[0])


def log_msd(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Multi-scale log-mel distance of waveforms (N,), (N,), in decimal logarithms.

    Raises:
        UserError: see ``si_snr``.
    """
    first, second = (torch.from_numpy(wav).float()[None] for wav in _pair(reference, estimate))
    with torch.no_grad():
        distances = [
            float(losses.mel_loss(first, second, sample_rate, scale)) for scale in range(len(losses.MEL_SCALES))
        ]
    return sum(distances) / len(distances) / math.log(10)


def visqol_missing() -> str:
    """Why ``visqol`` cannot run here; empty where it can."""
    return "" if importlib.util.find_spec("visqol") else NO_VISQOL


def visqol(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """MOS-LQO of waveforms (N,), (N,), higher is better.

    Raises:
        UserError: the package is missing; see ``si_snr``.
    """
    if visqol_missing():
        raise UserError(f"ViSQOL: {visqol_missing()}")
    from visqol import VisqolApi  # an optional package

    common = math.gcd(sample_rate, VISQOL_RATE)
    x, y = (resample_poly(wav, VISQOL_RATE // common, sample_rate // common) for wav in _pair(reference, estimate))
    api = VisqolApi()
    api.create(mode="audio")
    return float(api.measure_from_arrays(x, y, VISQOL_RATE).moslqo)


def _pair(reference: ArrayLike, estimate: ArrayLike) -> tuple[Float, Float]:
    x, y = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise UserError(
            f"reconstruction: waveforms of shapes {x.shape} and {y.shape}; give two mono ones of one length"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("reconstruction: a waveform holds NaN or infinity; mend it or leave it out")
    return x, y
