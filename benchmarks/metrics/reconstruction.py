r"""How much of a clip survives a codec: SI-SNR, ViSQOL and log-mel distances, one figure per pair of waveforms.

They need the original, so they judge codecs and never a generated clip. Read them together: SI-SNR follows the wave and
punishes a harmless delay, log-mel distance forgets the phase, ViSQOL models hearing and was fitted to codec artefacts.

- ``si_snr``: 10 log10(|a x|^2 / |y - a x|^2) with a = <y, x> / |x|^2, means removed, in dB (Le Roux et al., 2019,
  "SDR - half-baked or well done?", Eq. 3-4). Higher is better; at most 100 dB here, so that an exact copy has a number.
- ``log_mel_distance``: mean absolute difference of natural log-mel magnitudes, the definition that codecs are trained
  with (``representations/codecs/losses.py``). Lower is better.
- ``log_msd``: the same over three resolutions (windows of 512, 1024 and 2048 samples with 40, 64 and 96 bands), in
  DECIMAL logarithms, averaged. Lower is better. papers/002, appendix B has a log-MSD without a definition: mel or
  multi-scale, natural or decimal, absolute or squared are all open. This reading is both mel and multi-scale, and of
  the printed figures' size; it is not theirs for sure, so only orders compare.
- ``visqol``: MOS-LQO of ViSQOL v3 in audio mode (Chinen et al., 2020, arXiv:2004.09584), 1 to 4.75 or so, at 48 kHz, to
  which the package resamples. Optional: ``pip install visqol-python``.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
from numpy.typing import ArrayLike

from ...common.errors import UserError
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
    import torch

    from ...representations.codecs.losses import log_mel_distance as distance

    pair = [torch.from_numpy(wav).float()[None] for wav in _pair(reference, estimate)]
    with torch.no_grad():
        return float(distance(pair[0], pair[1], sample_rate)[0])


def log_msd(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Multi-scale log-mel distance of waveforms (N,), (N,), in decimal logarithms.

    Raises:
        UserError: see ``si_snr``.
    """
    import torch

    from ...representations.codecs.losses import MEL_SCALES, mel_loss

    first, second = (torch.from_numpy(wav).float()[None] for wav in _pair(reference, estimate))
    with torch.no_grad():
        distances = [float(mel_loss(first, second, sample_rate, scale)) for scale in range(len(MEL_SCALES))]
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
    from scipy.signal import resample_poly
    from visqol import VisqolApi

    common = math.gcd(sample_rate, VISQOL_RATE)
    x, y = (resample_poly(wav, VISQOL_RATE // common, sample_rate // common) for wav in _pair(reference, estimate))
    judge = VisqolApi()
    judge.create(mode="audio")
    return float(judge.measure_from_arrays(x, y, VISQOL_RATE).moslqo)


def _pair(reference: ArrayLike, estimate: ArrayLike) -> tuple[Float, Float]:
    x, y = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise UserError(
            f"reconstruction: waveforms of shapes {x.shape} and {y.shape}; give two mono ones of one length"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("reconstruction: a waveform holds NaN or infinity; mend it or leave it out")
    return x, y
