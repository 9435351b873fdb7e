"""The built-in extractors of chords, melody and beats.

Chords and melody rest on magnitudes of a long-window Fourier transform at one rate and hop, and on a Viterbi path.

Chords (Fujishima, ICMC 1999): chroma of 100..1200 Hz is compared by cosine with the tones of major, minor, dominant and
minor seventh chords on twelve roots; a chord whose root sounds in the bass (40..140 Hz) gains. Sevenths are told from
triads, so both vocabularies can be scored. Pitch classes lie where the clip is tuned (``librosa.estimate_tuning``); a
clip that is half a semitone off has two readings a semitone apart. Silence is no chord, and neither is noise: a frame
whose spectrum is as flat inside each octave as that of noise, whatever the noise's colour.

Melody: the pitch with the strongest harmonics. The salience of each of the 53 notes G2..B6 is the sum of eight
harmonics' magnitudes, each weighted 0.8 of the one below (as in Salamon and Gomez, TASLP 2012). A slight tilt upwards,
one per cent per semitone, expresses that melodies lie on top.

Beats: librosa's tracker (Ellis, JNMR 2007). Downbeats are every fourth beat, in the phase at which bass and harmony
change most. Change is the cosine distance between the mean chroma of the beat before and of the beat after, plus that
of the bass (as in Davies and Plumbley, EUSIPCO 2006, who compare spectra). In many built-in clips the chords change
every half bar, and then half of the downbeats are put in the middle of the bar: over 60 clips of 4 s F1 is 0.46, where
the right phase would give 0.70 and a random one 0.19.
"""

from __future__ import annotations

import functools
from importlib import metadata
from itertools import pairwise

import numpy as np

from ..audio import resample
from ..pitch import PITCH_CLASSES

RATE = 16_000  # Hz, of the audio that is analysed
WINDOW = 4096  # samples; 256 ms separate neighbouring semitones from about 130 Hz up
HOP = 800  # samples, 50 ms
HOP_SECONDS = HOP / RATE

CHORD_TONES = {"maj": (0, 4, 7), "min": (0, 3, 7), "7": (0, 4, 7, 10), "min7": (0, 3, 7, 10)}
CHORD_LABELS = (*(f"{root}:{kind}" for kind in CHORD_TONES for root in PITCH_CLASSES), "N")
BASS_WEIGHT = 0.4
NO_CHORD_SCORE = 0.6  # a chord must be this similar to win against "no chord"
CHORD_SWITCH_COST = 0.75  # in cosines, summed over the frames: what a change of chord must gain
CHORD_SILENCE = 1e-4  # mean magnitude below which a frame counts as silent
OCTAVES = (100, 200, 400, 800, 1600)  # Hz, in which the flatness is measured
NOISE_FLATNESS = -0.85  # log of the flatness above which a frame is noise; noise has -0.6 +- 0.1, music -9 to -1

NOTES = np.arange(43, 96)  # MIDI, G2..B6
HARMONICS, HARMONIC_DECAY = 8, 0.8
TILT = 0.01
NOTE_SWITCH_COST = 0.2  # in fractions of the strongest note's salience
MELODY_SILENCE = 0.02  # fraction of the clip's greatest salience below which a frame counts as silent

BEAT_HOP = 256  # samples
LEAD_IN = 0.25  # seconds of silence put before the clip; otherwise a beat at its start is not found
LATENESS = 0.03  # seconds by which the tracker's beats lag behind exact ones, on built-in and on soundfont music
METER = 4
FIRST_CHANGE = 0.15  # seconds; a beat before this has nothing before it that could have changed


def magnitudes(audio_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """Magnitudes (T, F) of Hann windows centred at t * HOP_SECONDS, with silence beyond both ends; T >= 1."""
    from scipy.fft import rfft  # scipy is slow to import

    audio_N = resample(audio_N, sample_rate, RATE)
    frames = max(1, round(len(audio_N) / HOP))
    padded = np.zeros(frames * HOP + 2 * WINDOW, dtype=np.float32)
    padded[WINDOW // 2 : WINDOW // 2 + len(audio_N)] = audio_N[: frames * HOP + WINDOW]
    windows_TW = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: frames * HOP : HOP]
    return np.asarray(np.abs(rfft(windows_TW * np.hanning(WINDOW).astype(np.float32), axis=1)))


def bin_frequencies() -> np.ndarray:
    """Frequency of each bin in Hz, (F,)."""
    return np.arange(WINDOW // 2 + 1) * RATE / WINDOW


def spans(path_T: np.ndarray, seconds: float) -> list[tuple[float, float, int]]:
    """Runs of equal states as (start, end, state) over 0..seconds; a change is midway between two frames."""
    edges = np.flatnonzero(np.diff(path_T)) + 1
    times = [0.0, *((edges - 0.5) * HOP_SECONDS).tolist(), seconds]
    states = [int(path_T[i]) for i in (0, *edges)]
    return [(start, end, state) for start, end, state in zip(times, times[1:], states) if end > start]


def best_path(score_TS: np.ndarray, switch_cost: float) -> np.ndarray:
    """The states (T,) with the greatest summed score, where each change of state costs ``switch_cost`` (Viterbi)."""
    frames, _ = score_TS.shape
    previous_TS = np.empty(score_TS.shape, dtype=np.intp)
    total_S = score_TS[0].copy()
    stay_S = np.arange(score_TS.shape[1])
    for t in range(1, frames):
        best = int(total_S.argmax())
        previous_TS[t] = np.where(total_S >= total_S[best] - switch_cost, stay_S, best)
        total_S = total_S[previous_TS[t]] - switch_cost * (previous_TS[t] != stay_S) + score_TS[t]
    path_T = np.empty(frames, dtype=np.intp)
    path_T[-1] = total_S.argmax()
    for t in range(frames - 1, 0, -1):
        path_T[t - 1] = previous_TS[t, path_T[t]]
    return path_T


class TemplateChords:
    """The built-in chord extractor."""

    name = "templates 2"

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, str], ...]:
        """Chords as (start, end, Harte label), from 0 to the end of the audio."""
        magnitude_TF = magnitudes(audio_N, sample_rate)
        tuning = estimated_tuning(magnitude_TF)
        chroma_TP, bass_TP = chroma(magnitude_TF, tuning), bass_chroma(magnitude_TF, tuning)
        chords = len(CHORD_LABELS) - 1
        similarity_TS = chroma_TP @ _templates().T + BASS_WEIGHT * bass_TP[:, np.arange(chords) % 12]
        similarity_TS[(magnitude_TF.mean(axis=1) < CHORD_SILENCE) | (flatness(magnitude_TF) > NOISE_FLATNESS)] = 0.0
        score_TS = np.pad(similarity_TS, ((0, 0), (0, 1)), constant_values=NO_CHORD_SCORE)
        path_T = best_path(score_TS, CHORD_SWITCH_COST)
        return tuple((a, b, CHORD_LABELS[state]) for a, b, state in spans(path_T, len(audio_N) / sample_rate))


def estimated_tuning(magnitude_TF: np.ndarray) -> float:
    """Deviation from A4 = 440 Hz in semitones, -0.5 to 0.5, to 5 cents; 0 where nothing has a pitch."""
    import librosa  # slow to import

    if not magnitude_TF.any():
        return 0.0
    return float(librosa.estimate_tuning(S=magnitude_TF.T, sr=RATE, n_fft=WINDOW, fmin=100, fmax=1600, resolution=0.05))


def flatness(magnitude_TF: np.ndarray) -> np.ndarray:
    """Log of geometric over arithmetic mean of the power inside an octave, averaged over ``OCTAVES``, (T,)."""
    power_TF, hertz_F = magnitude_TF.astype(np.float64) ** 2 + 1e-20, bin_frequencies()
    octaves = [power_TF[:, (hertz_F >= low) & (hertz_F < high)] for low, high in pairwise(OCTAVES)]
    return np.asarray(np.mean([np.log(part).mean(axis=1) - np.log(part.mean(axis=1)) for part in octaves], axis=0))


def chroma(magnitude_TF: np.ndarray, tuning: float = 0.0) -> np.ndarray:
    """The strength of each pitch class in ``magnitudes``, (T, 12), rows of length 1; ``tuning`` in semitones."""
    return _unit(magnitude_TF @ _pitch_class_weights(tuning)[0])


def bass_chroma(magnitude_TF: np.ndarray, tuning: float = 0.0) -> np.ndarray:
    """The strength of each pitch class in the bass, (T, 12), rows of length 1; ``tuning`` in semitones."""
    return _unit(magnitude_TF @ _pitch_class_weights(tuning)[1])


def _unit(x_TP: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1."""
    return np.asarray(x_TP / (np.linalg.norm(x_TP, axis=1, keepdims=True) + 1e-9))


@functools.cache
def _templates() -> np.ndarray:
    """Chroma of every chord of ``CHORD_LABELS`` but the last, (chords, 12), rows of length 1."""
    tones = CHORD_TONES.values()
    rows = [np.isin(np.arange(12), [(root + i) % 12 for i in steps]) for steps in tones for root in range(12)]
    return _unit(np.array(rows, dtype=float))


@functools.lru_cache(maxsize=21)  # tunings that ``estimated_tuning`` can give
def _pitch_class_weights(tuning: float) -> tuple[np.ndarray, np.ndarray]:
    """(F, 12) for chroma and for bass: a Gaussian of 0.3 semitones around each pitch, within the band."""
    hertz_F = bin_frequencies()
    midi_F = 69 + 12 * np.log2(np.maximum(hertz_F, 1) / 440) - tuning
    off_FP = (midi_F[:, None] - np.arange(12) + 6) % 12 - 6
    near_FP = np.exp(-0.5 * (off_FP / 0.3) ** 2)

    def band(low: float, high: float) -> np.ndarray:
        return np.asarray(near_FP * ((hertz_F >= low) & (hertz_F <= high))[:, None])

    return band(100, 1200), band(40, 140)


class SalienceMelody:
    """The built-in melody extractor."""

    name = "salience 1"

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, int], ...]:
        """Notes as (start, end, MIDI note); no notes where the audio is quiet."""
        salience_TP = magnitudes(audio_N, sample_rate) @ _harmonics()
        top_T1 = salience_TP.max(axis=1, keepdims=True)
        quiet_T1 = top_T1 <= MELODY_SILENCE * top_T1.max() + 1e-6
        score_TP = np.concatenate([salience_TP / (top_T1 + 1e-9) * ~quiet_T1, quiet_T1], axis=1)
        path_T = best_path(score_TP, NOTE_SWITCH_COST)
        found = spans(path_T, len(audio_N) / sample_rate)
        return tuple((a, b, int(NOTES[state])) for a, b, state in found if state < len(NOTES))


@functools.cache
def _harmonics() -> np.ndarray:
    """(F, 53): the weight of a bin for a note; harmonics are Gaussians of 0.2 semitones with a peak of 1."""
    hertz_F = np.maximum(bin_frequencies(), 1e-3)
    midi_F = 69 + 12 * np.log2(hertz_F / 440)
    weights_FP = np.zeros((len(hertz_F), len(NOTES)))
    for harmonic in range(1, HARMONICS + 1):
        off_FP = midi_F[:, None] - (NOTES + 12 * np.log2(harmonic))
        near_FP = np.exp(-0.5 * (off_FP / 0.2) ** 2) * (hertz_F < 7000)[:, None]
        weights_FP += HARMONIC_DECAY ** (harmonic - 1) * near_FP / np.maximum(near_FP.max(axis=0), 1e-3)
    return np.asarray(weights_FP * np.exp(TILT * (NOTES - NOTES[0])))


class LibrosaBeats:
    """The built-in beat extractor."""

    @property
    def name(self) -> str:
        """The name with librosa's version, on which beats depend."""
        return f"librosa {metadata.version('librosa')}, four to the bar 2"

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Beats and downbeats in seconds; none in silence."""
        import librosa  # slow to import

        if not np.any(np.abs(audio_N) > 1e-4):
            return (), ()
        lead_in = round(LEAD_IN * sample_rate)
        padded = np.pad(audio_N, (lead_in, 0))
        _, frames = librosa.beat.beat_track(y=padded, sr=sample_rate, hop_length=BEAT_HOP, trim=False)
        times = librosa.frames_to_time(frames, sr=sample_rate, hop_length=BEAT_HOP) - LEAD_IN - LATENESS
        beats = np.unique(np.maximum(times[times > -LEAD_IN / 2], 0.0))
        return tuple(beats.tolist()), tuple(_downbeats(beats, audio_N, sample_rate).tolist())


def _downbeats(beats: np.ndarray, audio_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """Every fourth of ``beats`` (seconds), in the phase at which harmony changes most on average."""
    if len(beats) < METER:
        return beats[:1]
    changes = _changes(beats, magnitudes(audio_N, sample_rate))
    by_phase = [changes[phase::METER][beats[phase::METER] >= FIRST_CHANGE] for phase in range(METER)]
    first = max(range(METER), key=lambda phase: by_phase[phase].mean() if len(by_phase[phase]) else 0.0)
    return beats[first::METER]


def _changes(beats: np.ndarray, magnitude_TF: np.ndarray) -> np.ndarray:
    """The difference of chroma and bass between the beat before and the beat after each beat, (beats,)."""
    edges = np.rint(np.concatenate([beats[:1] - np.diff(beats[:2]), beats]) / HOP_SECONDS).astype(int)
    edges = np.clip(np.append(edges, len(magnitude_TF)), 0, len(magnitude_TF))
    changes = np.zeros(len(beats))
    for chroma_TP in (chroma(magnitude_TF), bass_chroma(magnitude_TF)):
        means = [chroma_TP[a:b].sum(axis=0) if b > a else np.zeros(12) for a, b in pairwise(edges)]
        unit = np.stack([mean / (np.linalg.norm(mean) + 1e-9) for mean in means])
        changes += 1 - (unit[1:] * unit[:-1]).sum(axis=1)
    return changes
