"""Seam distance of filled spans: are a span and its two boundaries as unusual as those of untouched real audio?

A filled span can fail in two directions. It can be too abrupt: a click, a jump of level, another piece of music. And it
can be too smooth or too static: silence, or the last moment before the span repeated all the way. So each of the
``STATISTICS`` below is read against its distribution over spans of the same length and place in untouched real clips,
and both ends of that distribution count as unusual.

1. **Statistics of one span.** At both boundaries: the ``flux`` (mean over mel bands of the absolute difference of log
   magnitudes) between the 10, 50 and 400 ms before and after; the ``jump`` of level between the 50 ms before and
   after; and the ``click``, the largest error of a linear prediction across the boundary, from either side, relative
   to its error where it was learnt. Inside the span: ``activity``, the mean flux between successive 50 ms;
   ``variety``, the standard deviation over time of the log magnitudes; ``level`` against the rest of the clip; and
   ``dip``, its quietest 50 ms against its level.
2. **Deviation of one statistic.** Its distance from the median of real spans, in units of the distance from that median
   to the 5th or the 95th percentile of real spans, on whichever side it lies.
3. **Unusualness of one span.** The largest of these deviations: one fault is enough to be heard.
4. **Seam distance of a set of spans.** The energy distance (Szekely and Rizzo, 2013) between the unusualness of the set
   and that of real spans, on the ranks u of the latter, times 3/2:

       seam = 3/2 (2 E|u - v| - E|u - u'| - E|v - v'|),    u of the set, v of real audio.

   0 is expected of untouched real audio, and 1 is a set of which every span is more unusual than all of real audio. An
   energy distance is never below 0 in expectation, so no system is better than real audio: one whose spans are all
   perfectly typical differs from real audio, too. The estimate is without bias, and can thus be slightly below 0.

The seam distance is defined here; it has no published source.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from librosa.filters import mel

from .arrays import Float

SIDES = (0.01, 0.05, 0.4)  # seconds on either side of a boundary that the flux compares
FRAME = 0.05  # seconds of a frame inside a span
BANDS = 40
QUIET = 1e-5  # amplitude below which everything counts as this loud
ORDER = 16  # coefficients of the linear prediction
LEARNT = 0.05  # seconds on one side from which the prediction is learnt; the jump compares as much
ACROSS = 0.001  # seconds on the other side that it predicts
PLACES = 8  # spans that are taken from each real clip
STILL = 1e-3  # nepers of flux that are added before its logarithm
LEAST_UNIT = 1e-3  # of a statistic's spread, where real spans do not differ in it
RANGE = (0.05, 0.95)  # quantiles of real spans that are one unit away from the median
STATISTICS = (
    *("flux_10ms_begin", "flux_50ms_begin", "flux_400ms_begin", "jump_begin", "click_begin"),
    *("flux_10ms_end", "flux_50ms_end", "flux_400ms_end", "jump_end", "click_end"),
    *("activity", "variety", "level", "dip"),
)
Boundaries = tuple[float, float]


def statistics(audio_N: np.ndarray, sample_rate: int, span: Boundaries) -> Float:
    """The statistics of one span in the order of ``STATISTICS``, (S,); logarithmic or in dB where they are ratios.

    Args:
        audio_N: the whole clip.
        span: beginning and end of the span, in seconds.
    """
    audio_N = np.asarray(audio_N, dtype=np.float64)
    begin, end = (round(time * sample_rate) for time in span)
    seams = [_at_boundary(audio_N, at, sample_rate) for at in (begin, end)]
    inside_N, around_N = audio_N[begin:end], np.concatenate([audio_N[:begin], audio_N[end:]])
    return np.array([*seams[0], *seams[1], *_inside(inside_N, _level(around_N), sample_rate)])


class RealSpans:
    """Spans of untouched real clips, against which filled spans are scored.

    Args:
        clips: real clips (N,), which do not contain those to be scored; at least 2.
        sample_rate: of all clips, Hz.
        spans: where the filled spans lie, in seconds; each real clip is measured at ``PLACES`` of them.
    """

    def __init__(self, clips: Sequence[np.ndarray], sample_rate: int, spans: Sequence[Boundaries]) -> None:
        self.sample_rate = sample_rate
        places = [[spans[(i * PLACES + k) % len(spans)] for k in range(PLACES)] for i in range(len(clips))]
        values_RS = np.stack(
            [statistics(x_N, sample_rate, span) for x_N, own in zip(clips, places) for span in dict.fromkeys(own)]
        )
        clip_R = np.repeat(np.arange(len(clips)), [len(dict.fromkeys(own)) for own in places])
        low_S, self.median_S, high_S = np.quantile(values_RS, [RANGE[0], 0.5, RANGE[1]], axis=0)
        self._below_S = np.maximum(self.median_S - low_S, LEAST_UNIT)
        self._above_S = np.maximum(high_S - self.median_S, LEAST_UNIT)
        unusual_R = np.abs(self._deviations(values_RS)).max(axis=1)
        self._sorted_R = np.sort(unusual_R)
        rank_R, other_RR = self._ranks(unusual_R), clip_R[:, None] != clip_R
        self._spread = float(np.abs(rank_R[:, None] - rank_R)[other_RR].mean())  # E|v - v'| over two clips

    def deviations(self, audio_N: np.ndarray, span: Boundaries) -> Float:
        """Deviation of each statistic of one span, (S,); negative where it is below the median of real spans."""
        return self._deviations(statistics(audio_N, self.sample_rate, span))

    def unusual(self, clips: Sequence[np.ndarray], spans: Sequence[Boundaries]) -> Float:
        """Rank of each clip's span among real spans by unusualness, (n,), in [0, 1]; real audio is uniform."""
        largest = [np.abs(self.deviations(audio_N, span)).max() for audio_N, span in zip(clips, spans)]
        return self._ranks(np.array(largest))

    def distance(self, rank_n: Float) -> float:
        """Seam distance of a set of two spans or more, by their ranks (n,) as ``unusual`` gives them."""
        n = len(rank_n)
        to_real = np.mean((rank_n**2 + (1 - rank_n) ** 2) / 2)  # E|u - v| for uniform v
        own = np.abs(rank_n[:, None] - rank_n).sum() / (n * (n - 1))
        return float(1.5 * (2 * to_real - own - self._spread))

    def _deviations(self, values_RS: Float) -> Float:
        off_RS = values_RS - self.median_S
        return np.asarray(np.where(off_RS < 0, off_RS / self._below_S, off_RS / self._above_S))

    def _ranks(self, values_n: Float) -> Float:
        """Share of real spans below, ties counted half."""
        below, upto = (np.searchsorted(self._sorted_R, values_n, side=side) for side in ("left", "right"))
        return np.asarray((below + upto) / 2 / len(self._sorted_R))


def _at_boundary(audio_N: Float, at: int, sample_rate: int) -> list[float]:
    """Flux at three scales, jump and click; zeros where the span begins or ends with the clip."""
    before_N, after_N = _sides(audio_N, at, LEARNT, sample_rate)
    if len(before_N) <= 2 * ORDER:
        return [0.0] * (len(SIDES) + 2)
    flux = [_flux(*_sides(audio_N, at, seconds, sample_rate), sample_rate) for seconds in SIDES]
    return [*flux, abs(_level(after_N) - _level(before_N)), _click(before_N, after_N, sample_rate)]


def _inside(inside_N: Float, level_around: float, sample_rate: int) -> list[float]:
    """Activity, variety, level and dip."""
    frame = min(round(FRAME * sample_rate), len(inside_N) // 2)
    frames_TN = inside_N[: len(inside_N) // frame * frame].reshape(-1, frame)
    logs_TB, level = _log_mel(frames_TN, sample_rate), _level(inside_N)
    activity, variety = np.abs(np.diff(logs_TB, axis=0)).mean(), logs_TB.std(axis=0).mean()
    dip = min(_level(row_N) for row_N in frames_TN) - level
    return [np.log(activity + STILL), np.log(variety + STILL), level - level_around, dip]


def _sides(audio_N: Float, at: int, seconds: float, sample_rate: int) -> tuple[Float, Float]:
    """The ``seconds`` before and after sample ``at``, both shorter where the clip ends earlier."""
    side = min(round(seconds * sample_rate), at, len(audio_N) - at)
    return audio_N[at - side : at], audio_N[at : at + side]


def _level(x_N: Float) -> float:
    """Root mean square in dB."""
    return float(20 * np.log10(np.sqrt(np.mean(x_N**2)) + QUIET))


def _flux(before_N: Float, after_N: Float, sample_rate: int) -> float:
    before_B, after_B = _log_mel(np.stack([before_N, after_N]), sample_rate)
    return float(np.log(np.abs(after_B - before_B).mean() + STILL))


def _click(before_N: Float, after_N: Float, sample_rate: int) -> float:
    """The larger of the errors of predicting the beginning of ``after_N``, and backwards the end of ``before_N``."""
    return max(_surprise(before_N, after_N, sample_rate), _surprise(after_N[::-1], before_N[::-1], sample_rate))


def _surprise(known_N: Float, next_N: Float, sample_rate: int) -> float:
    """Log ratio of the largest error of a linear prediction in ``next_N`` to the error where it was learnt.

    The coefficients are those of least squares over ``known_N`` (the covariance method; Makhoul, 1975).
    """
    joined_N = np.concatenate([known_N, next_N[: round(ACROSS * sample_rate)]])
    windows_NK = np.lib.stride_tricks.sliding_window_view(joined_N, ORDER + 1)
    past_NK, now_N, learnt = windows_NK[:, :-1], windows_NK[:, -1], len(known_N) - ORDER
    gram_KK = past_NK[:learnt].T @ past_NK[:learnt]
    gram_KK += (1e-6 * np.trace(gram_KK) / ORDER + QUIET**2) * np.eye(ORDER)
    error_N = np.abs(now_N - past_NK @ np.linalg.solve(gram_KK, past_NK[:learnt].T @ now_N[:learnt]))
    return float(np.log((error_N[learnt:].max() + QUIET) / (np.sqrt(np.mean(error_N[:learnt] ** 2)) + QUIET)))


def _log_mel(x_MN: Float, sample_rate: int) -> Float:
    """Log mel magnitudes (M, BANDS) of whole rows under a Hann window."""
    spectrum_MF = np.abs(np.fft.rfft(x_MN * np.hanning(x_MN.shape[1]), axis=1))
    return np.asarray(np.log(spectrum_MF @ _bands(sample_rate, x_MN.shape[1]).T + QUIET))


@functools.lru_cache(maxsize=16)
def _bands(sample_rate: int, window: int) -> Float:
    """Mel filters (BANDS, F), of magnitudes of a window of that many samples."""
    return np.asarray(mel(sr=sample_rate, n_fft=window, n_mels=BANDS, norm=None), dtype=np.float64) / window
