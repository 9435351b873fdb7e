"""Level of a clip: integrated loudness and peak. They describe a clip, and neither end of them is better.

Evaluators scale every clip to one peak before they score it, so that loudness does not decide scores; a system whose
clips are quieter or louder than real ones is seen here alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLOCK_SECONDS = 0.4  # of a gating block; a shorter clip has no loudness
FLOOR_LUFS = -70.0  # the absolute gate: what is quieter, silence too, is given this value


def loudness_lufs(wav_N: NDArray[np.floating], sample_rate: int) -> float:
    """Integrated loudness of a mono clip in LUFS (ITU-R BS.1770-4, by pyloudnorm).

    Returns:
        NaN for a clip shorter than a gating block (0.4 s); -70 for one without a block above the absolute gate.
    """
    if len(wav_N) < math.ceil(BLOCK_SECONDS * sample_rate):
        return math.nan
    import pyloudnorm  # here, because reports read the catalogue's modules

    found = float(pyloudnorm.Meter(sample_rate).integrated_loudness(np.asarray(wav_N, np.float64)))
    return found if found > FLOOR_LUFS else FLOOR_LUFS  # of silence: NaN or minus infinity


def peak(wav_N: NDArray[np.floating]) -> float:
    """Largest magnitude of a clip's samples; 1 is full scale."""
    return float(np.abs(wav_N).max(initial=0.0))
