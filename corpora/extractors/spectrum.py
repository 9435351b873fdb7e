"""What the built-in extractors listen to: magnitudes of a long-window Fourier transform, mono, at one rate and hop."""

from __future__ import annotations

from math import gcd

import numpy as np

RATE = 16_000  # Hz
WINDOW = 4096  # 256 ms: neighbouring semitones are parted from about 130 Hz up
HOP = 800  # 50 ms
HOP_SECONDS = HOP / RATE


def magnitudes(audio_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """Magnitudes (T, F) of Hann windows centred at t * HOP_SECONDS, silence beyond both ends; T >= 1."""
    from scipy.fft import rfft
    from scipy.signal import resample_poly

    if sample_rate != RATE:
        common = gcd(RATE, sample_rate)
        audio_N = resample_poly(audio_N, RATE // common, sample_rate // common)
    frames = max(1, round(len(audio_N) / HOP))
    padded = np.zeros(frames * HOP + 2 * WINDOW, dtype=np.float32)
    padded[WINDOW // 2 : WINDOW // 2 + len(audio_N)] = audio_N[: frames * HOP + WINDOW]
    windows_TW = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: frames * HOP : HOP]
    return np.abs(rfft(windows_TW * np.hanning(WINDOW).astype(np.float32), axis=1))


def hertz() -> np.ndarray:
    """Frequency of each bin, (F,)."""
    return np.arange(WINDOW // 2 + 1) * RATE / WINDOW


def spans(path_T: np.ndarray, seconds: float) -> list[tuple[float, float, int]]:
    """Runs of equal states as (start, end, state) over 0..seconds; a change lies midway between two frames."""
    edges = np.flatnonzero(np.diff(path_T)) + 1
    times = [0.0, *((edges - 0.5) * HOP_SECONDS).tolist(), seconds]
    states = [int(path_T[i]) for i in (0, *edges)]
    return [(start, end, state) for start, end, state in zip(times, times[1:], states) if end > start]


def best_path(score_TS: np.ndarray, switch_cost: float) -> np.ndarray:
    """The states (T,) of greatest summed score where each change of state costs ``switch_cost`` (Viterbi)."""
    frames, _ = score_TS.shape
    came_TS = np.empty(score_TS.shape, dtype=np.intp)
    total_S = score_TS[0].copy()
    stay_S = np.arange(score_TS.shape[1])
    for t in range(1, frames):
        best = int(total_S.argmax())
        came_TS[t] = np.where(total_S >= total_S[best] - switch_cost, stay_S, best)
        total_S = total_S[came_TS[t]] - switch_cost * (came_TS[t] != stay_S) + score_TS[t]
    path_T = np.empty(frames, dtype=np.intp)
    path_T[-1] = total_S.argmax()
    for t in range(frames - 1, 0, -1):
        path_T[t - 1] = came_TS[t, path_T[t]]
    return path_T
