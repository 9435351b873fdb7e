"""Known degradations of real audio: chains of steps in increasing severity, by which metrics are validated.

A metric of fidelity must score noisy real audio worse than clean real audio, and noisier audio worse still. Each chain
degrades real clips in one way, a step at a time. What is required of a metric is stated here, before anything is
measured (``Chain.required_of``):

- ``fidelity``: white noise, low-pass, clipping and dropouts. Everybody hears them as damage, and each step sounds worse
  than the one before it, so a metric of fidelity must order them.
- ``captions``: clips exchanged among captions. A metric that reads captions must order them.
- ``loudness``: a change of level alone. It is no damage, so a metric should not move.
- ``nothing``: measured and reported only. A high-pass, other pitch or tempo or blocks in another order may sound like
  other music of equal quality, and what codecs, bit depth, reverberation or resampling cost depends on the material.

Functions on clips take and return mono float32 (N,) of the same length, and are deterministic: noise of a clip is drawn
from its seed, the same at every step, so that steps differ by their severity only.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, resample_poly, sosfiltfilt

from ...common.seeds import seed_for
from .catalogue import FIDELITY_FAMILIES, about, family

Wave = NDArray[np.float32]
Index = NDArray[np.intp]
Required = Literal["fidelity", "captions", "loudness", "nothing"]

GAP_S = 0.02  # of a dropout
FILTER_ORDER = 8  # Butterworth, run forward and backward
WET = {0.3: 0.2, 0.8: 0.4, 2.0: 0.7}  # decay time in s -> share of the reverberation in the mix
MP3_RATES = {
    16_000: (8, 160),
    22_050: (8, 160),
    24_000: (8, 160),
    32_000: (32, 320),
    44_100: (32, 320),
    48_000: (32, 320),
}
"""Sample rate in Hz -> lowest and highest bit rate of MP3 in kbit/s (ISO/IEC 11172-3 and 13818-3)."""


@dataclass(frozen=True)
class Chain:
    """A degradation in steps.

    Attributes:
        name: in records and tables.
        steps: in increasing severity.
        unit: of the steps.
        required_of: kind of metrics that must order the steps; ``loudness``: no metric should move.
        title: for figures and tables.
        degrade: (clip (N,), sample rate in Hz, step, seed) -> clip (N,); None for a chain that rearranges clips.
        rearrange: (number of clips n, step, seed) -> index (n,) of the clip that stands in each clip's place.
        possible: whether a step can be made at a sample rate.
    """

    name: str
    steps: tuple[float, ...]
    unit: str
    required_of: Required
    title: str
    degrade: Callable[[Wave, int, float, int], Wave] | None = None
    rearrange: Callable[[int, float, int], Index] | None = None
    possible: Callable[[int, float], bool] = lambda sample_rate, step: True

    def steps_at(self, sample_rate: int) -> tuple[float, ...]:
        """The steps that can be made at a sample rate in Hz."""
        return tuple(step for step in self.steps if self.possible(sample_rate, step))


def required_chains(name: str) -> tuple[str, ...]:
    """The chains that a metric must order: those of fidelity for a distance of two sets, those of captions if it reads
    captions. A tagger's distance is held to the same steps, so that tables show what it does not notice.
    """
    kinds = {"fidelity"} if family(name) in FIDELITY_FAMILIES else set[str]()
    kinds |= {"captions"} if about(name).reads_captions else set()
    return tuple(chain.name for chain in CHAINS.values() if chain.required_of in kinds)


def add_noise(wav: Wave, sample_rate: int, snr_db: float, seed: int) -> Wave:
    """White noise at a signal-to-noise ratio in dB, by root mean squares over the whole clip."""
    noise = np.random.default_rng(seed_for(seed, "noise")).standard_normal(len(wav))
    return _f32(wav + noise * (_rms(wav) / _rms(noise) * 10 ** (-snr_db / 20)))


def low_pass(wav: Wave, sample_rate: int, cut_khz: float, seed: int = 0) -> Wave:
    """Nothing above ``cut_khz``: Butterworth, no delay."""
    return _filtered(wav, sample_rate, cut_khz * 1000, "lowpass")


def high_pass(wav: Wave, sample_rate: int, cut_hz: float, seed: int = 0) -> Wave:
    """Nothing below ``cut_hz``: Butterworth, no delay."""
    return _filtered(wav, sample_rate, cut_hz, "highpass")


def reduce_bits(wav: Wave, sample_rate: int, bits: float, seed: int = 0) -> Wave:
    """Rounded to the 2^bits levels of a converter whose full scale is the clip's peak."""
    peak, half = _peak(wav), 2.0 ** (bits - 1)
    return _f32(np.clip(np.round(wav / peak * half), -half, half - 1) / half * peak) if peak else wav.copy()


def clip_peaks(wav: Wave, sample_rate: int, over_db: float, seed: int = 0) -> Wave:
    """Clipped ``over_db`` below the peak, as if driven that far into a converter's limit."""
    limit = _peak(wav) * 10 ** (-over_db / 20)
    return _f32(np.clip(wav, -limit, limit))


def reverberate(wav: Wave, sample_rate: int, decay_s: float, seed: int) -> Wave:
    """Mixed with its reverberation: convolved with noise that falls by 60 dB in ``decay_s``; longer decays are mixed in
    at a larger share (``WET``)."""
    time = np.arange(round(decay_s * sample_rate)) / sample_rate
    noise = np.random.default_rng(seed_for(seed, "reverberation")).standard_normal(len(time))
    room = noise * 10 ** (-3 * time / decay_s)
    wet = fftconvolve(wav, room / np.sqrt(np.sum(room**2)))[: len(wav)]
    return _f32((1 - WET[decay_s]) * wav + WET[decay_s] * wet)


def shift_pitch(wav: Wave, sample_rate: int, semitones: float, seed: int = 0) -> Wave:
    """Pitch raised by semitones at the same tempo (phase vocoder and resampling)."""
    import librosa

    return _f32(librosa.effects.pitch_shift(wav, sr=sample_rate, n_steps=semitones))


def change_tempo(wav: Wave, sample_rate: int, factor: float, seed: int = 0) -> Wave:
    """Played faster at the same pitch (phase vocoder); the end is filled by starting again from the beginning."""
    import librosa

    return _f32(np.resize(librosa.effects.time_stretch(wav, rate=factor), len(wav)))


def drop_out(wav: Wave, sample_rate: int, percent: float, seed: int) -> Wave:
    """``percent`` of the clip's 20-ms frames silent; those that are silent at one step are at all later ones."""
    size = round(GAP_S * sample_rate)
    frames = max(1, len(wav) // size)
    order = np.random.default_rng(seed_for(seed, "dropouts")).permutation(frames)
    found = wav.copy()
    for frame in order[: max(1, round(percent / 100 * frames))]:
        found[frame * size : (frame + 1) * size] = 0.0
    return found


def shuffle_blocks(wav: Wave, sample_rate: int, block_s: float, seed: int) -> Wave:
    """Blocks of ``block_s`` in another order, none in its old place; an end that is shorter than a block stays."""
    size = round(block_s * sample_rate)
    blocks = len(wav) // size
    order = _cycle(np.random.default_rng(seed_for(seed, "blocks", block_s)).permutation(blocks), blocks)
    return np.concatenate([*(wav[block * size : (block + 1) * size] for block in order), wav[blocks * size :]])


def silence_end(wav: Wave, sample_rate: int, percent: float, seed: int = 0) -> Wave:
    """The last ``percent`` of the clip silent."""
    found = wav.copy()
    found[len(wav) - round(percent / 100 * len(wav)) :] = 0.0
    return found


def change_level(wav: Wave, sample_rate: int, gain_db: float, seed: int = 0) -> Wave:
    """Louder or quieter, never clipped: float32 has room above 1."""
    return _f32(wav * 10 ** (gain_db / 20))


def resample_back(wav: Wave, sample_rate: int, rate_khz: float, seed: int = 0) -> Wave:
    """Resampled to ``rate_khz`` and back (polyphase)."""
    rate = round(rate_khz * 1000)
    common = gcd(rate, sample_rate)
    up, down = rate // common, sample_rate // common
    return _f32(resample_poly(resample_poly(wav.astype(np.float64), up, down), down, up)[: len(wav)])


def code_mp3(wav: Wave, sample_rate: int, kbits: float, seed: int = 0) -> Wave:
    """Through an MP3 encoder at a constant bit rate and back, aligned to the original."""
    return _aligned(_through_mp3(wav, sample_rate, kbits), _mp3_delay(sample_rate, kbits), len(wav))


def mp3_possible(sample_rate: int, kbits: float) -> bool:
    """Whether libsndfile writes MP3 here, and the format has this bit rate (kbit/s) at this sample rate."""
    import soundfile

    low, high = MP3_RATES.get(sample_rate, (1, 0))
    return "MP3" in soundfile.available_formats() and low <= kbits <= high


def repeat_clip(n: int, percent: float, seed: int) -> Index:
    """``percent`` of n clips replaced by copies of one; those replaced at one step are at all later ones."""
    order = np.random.default_rng(seed_for(seed, "repeated")).permutation(n)
    index = np.arange(n)
    index[order[: round(percent / 100 * n)]] = order[0]
    return index


def exchange_clips(n: int, percent: float, seed: int) -> Index:
    """``percent`` of n clips (two or more) exchanged in one cycle, so that none of them keeps its caption."""
    order = np.random.default_rng(seed_for(seed, "exchanged")).permutation(n)
    return _cycle(order[: max(2, round(percent / 100 * n))], n)


def _cycle(chosen: Index, n: int) -> Index:
    """The numbers 0 to n - 1, of which those ``chosen`` change places in one cycle."""
    index = np.arange(n)
    index[chosen] = np.roll(chosen, 1)
    return index


def _below_nyquist(sample_rate: int, khz: float) -> bool:
    return khz * 1000 < 0.45 * sample_rate


CHAINS = {
    chain.name: chain
    for chain in (
        Chain("noise", (40, 30, 20, 10, 0), "dB SNR", "fidelity", "white noise", add_noise),
        Chain("low_pass", (6, 4, 2, 1, 0.5), "kHz", "fidelity", "low-pass", low_pass, possible=_below_nyquist),
        Chain("clipping", (6, 12, 24), "dB", "fidelity", "clipping", clip_peaks),
        Chain("dropouts", (1, 5, 20, 50), "% of 20-ms frames", "fidelity", "dropouts", drop_out),
        Chain("high_pass", (100, 300, 1000, 2000), "Hz", "nothing", "high-pass", high_pass),
        Chain("bit_depth", (12, 8, 6, 4, 2), "bits", "nothing", "bit depth", reduce_bits),
        Chain("reverberation", tuple(WET), "s decay", "nothing", "reverberation", reverberate),
        Chain("resampling", (12, 8, 4), "kHz", "nothing", "resampling", resample_back,
              possible=lambda sample_rate, khz: khz * 1000 < sample_rate),
        Chain("mp3", (64, 32, 16, 8), "kbit/s", "nothing", "MP3", code_mp3, possible=mp3_possible),
        Chain("pitch", (0.5, 1, 2), "semitones", "nothing", "pitch", shift_pitch),
        Chain("tempo", (1.05, 1.1, 1.25, 1.5), "times", "nothing", "tempo", change_tempo),
        Chain("blocks", (2, 1, 0.5, 0.25), "s", "nothing", "shuffled blocks", shuffle_blocks),
        Chain("silence", (25, 50, 75), "%", "nothing", "silence at the end", silence_end),
        Chain("repeated", (25, 50, 100), "% of clips", "nothing", "one clip repeated", rearrange=repeat_clip),
        Chain("exchanged", (5, 25, 50, 100), "% of clips", "captions", "exchanged clips", rearrange=exchange_clips),
        Chain("loudness", (3, -6, -12), "dB", "loudness", "loudness", change_level),
    )
}  # fmt: skip
"""The chains, in the order of tables; a study's codec makes one more (``evaluators/ladder.py``)."""


@functools.lru_cache
def _mp3_delay(sample_rate: int, kbits: float) -> int:
    """Samples by which the encoder and decoder delay audio: where a second of noise correlates best with itself."""
    noise = _f32(0.1 * np.random.default_rng(0).standard_normal(sample_rate))
    coded = _through_mp3(noise, sample_rate, kbits)
    return int(np.argmax(fftconvolve(coded, noise[::-1]))) - (len(noise) - 1)


def _through_mp3(wav: Wave, sample_rate: int, kbits: float) -> Wave:
    """libsndfile states the bit rate as a compression level between the highest (0) and the lowest (1) of the rate."""
    import soundfile

    low, high = MP3_RATES[sample_rate]
    scale = max(1.0, _peak(wav))
    level = min((high - kbits) / (high - low), 0.999)  # it refuses exactly 1
    file = io.BytesIO()
    soundfile.write(file, wav / scale, sample_rate, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    file.seek(0)
    return _f32(soundfile.read(file, dtype="float32")[0] * scale)


def _aligned(wav: Wave, delay: int, samples: int) -> Wave:
    """``wav`` moved forward by ``delay`` and cut, or padded with zeros, to ``samples``."""
    moved = wav[delay:] if delay >= 0 else np.pad(wav, (-delay, 0))
    return np.pad(moved, (0, max(0, samples - len(moved))))[:samples]


def _filtered(wav: Wave, sample_rate: int, cut_hz: float, kind: str) -> Wave:
    sections = butter(FILTER_ORDER, cut_hz, kind, fs=sample_rate, output="sos")
    return _f32(sosfiltfilt(sections, wav.astype(np.float64)))


def _f32(wav: NDArray[np.floating]) -> Wave:
    return np.ascontiguousarray(wav, np.float32)


def _rms(wav: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(wav, dtype=np.float64))))


def _peak(wav: NDArray[np.floating]) -> float:
    return float(np.abs(wav).max(initial=0.0))
