"""Optional extractors from other packages: chords by Chordino, melody by basic-pitch.

Chordino (Mauch and Dixon, ISMIR 2010) comes with the package chord-extractor, whose plugin is GPL. It reports nothing
before the end of its first window (16384 samples at 44100 Hz) and then a moment of no chord; the first chord after that
is taken to sound from the beginning.

basic-pitch (Bittner et al., ICASSP 2022) gives a contour of pitch probabilities; the melody is the highest strong pitch
within G2..B6. Strong is at least half as probable as the strongest, since a melody lies on top more often than it is
the loudest. The package is Apache-2.0. Only the ONNX file of its network is used, and it is never imported (it asks for
TensorFlow): install it by ``pip install --no-deps basic-pitch==0.4.0`` beside ``onnxruntime``. Its windows are 43844
samples at 22050 Hz and give 172 frames of 256 samples and 264 bins of a third of a semitone from 27.5 Hz.
"""

from __future__ import annotations

import os
import tempfile
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...common.errors import UserError
from ..audio import resample
from ..chord_labels import NO_CHORD, to_harte
from .builtin import NOTES

LATE = 0.5  # seconds; a first chord before this is taken to sound from the beginning

RATE, WINDOW, FRAME = 22_050, 43_844, 256  # of basic-pitch: Hz, samples of a window, samples of a frame
FRAMES, EDGE = 172, 15  # of a window, and those cut off at each end
VOICED = 0.25  # probability of the contour below which no note sounds
STRONG = 0.5  # fraction of the strongest pitch's probability
LOWEST_BIN_MIDI, BINS_PER_NOTE = 21, 3


class Chordino:
    """The chord extractor of Tal et al. 2025; optional."""

    @property
    def name(self) -> str:
        """The name with the package's version, which determines the plugin's."""
        return f"chordino (chord-extractor {metadata.version('chord-extractor')}) 2"

    def __init__(self) -> None:
        try:
            from chord_extractor.extractors import Chordino as Plugin
        except ImportError as error:
            raise UserError(
                "chord extractor 'chordino' needs chord-extractor and vamp; install them as docs/control.md says, "
                "or use 'templates'"
            ) from error
        self._plugin = Plugin()

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, str], ...]:
        """Chords as (start, end, Harte label), from 0 to the end of the audio."""
        import soundfile  # not needed where there are no optional extractors

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "clip.wav")
            soundfile.write(path, audio_N, sample_rate)
            changes = [(change.timestamp, to_harte(change.chord)) for change in self._plugin.extract(str(path))]
        return from_changes(changes, len(audio_N) / sample_rate)


def from_changes(changes: list[tuple[float, str]], seconds: float) -> tuple[tuple[float, float, str], ...]:
    """(time, label) of each chord's beginning -> spans (start, end, label) from 0 to ``seconds``."""
    starting = [(time, label) for time, label in changes if time < seconds]
    while len(starting) > 1 and starting[0][1] == NO_CHORD and starting[1][0] < LATE:
        starting = starting[1:]
    if not starting or starting[0][0] >= LATE:
        starting = [(0.0, NO_CHORD), *starting]
    starts = [0.0, *(time for time, _ in starting[1:])]
    ends = [*starts[1:], seconds]
    return tuple((start, end, label) for start, end, (_, label) in zip(starts, ends, starting) if end > start)


class BasicPitch:
    """The contour network of basic-pitch; optional."""

    name = "basic-pitch 0.4.0 contour"

    def __init__(self) -> None:
        try:
            import onnxruntime  # optional

            files = metadata.files("basic-pitch") or []
            model = next(Path(str(file.locate())) for file in files if file.name == "nmp.onnx")
        except (ImportError, StopIteration) as error:
            raise UserError(
                "melody extractor 'basic-pitch' needs onnxruntime and basic-pitch (pip install onnxruntime; "
                "pip install --no-deps basic-pitch==0.4.0); or use 'salience'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, audio_N: np.ndarray, sample_rate: int) -> tuple[tuple[float, float, int], ...]:
        """Notes as (start, end, MIDI note); neighbouring frames of equal pitch are joined."""
        contour_TP = self._contour(audio_N, sample_rate)
        # A note's own bin is the middle one of three; its neighbours a third of a semitone away are still the note.
        first = (NOTES[0] - LOWEST_BIN_MIDI) * BINS_PER_NOTE - 1
        in_range = contour_TP[:, first : first + len(NOTES) * BINS_PER_NOTE]
        notes_TP = in_range.reshape(len(in_range), len(NOTES), BINS_PER_NOTE).max(axis=2)
        top_T1 = notes_TP.max(axis=1, keepdims=True)
        highest_T = NOTES[-1] - (notes_TP >= STRONG * top_T1)[:, ::-1].argmax(axis=1)
        notes_T = np.where(top_T1[:, 0] > VOICED, highest_T, 0)
        edges = [0, *(np.flatnonzero(np.diff(notes_T)) + 1).tolist(), len(notes_T)]
        step = FRAME / RATE
        return tuple((a * step, b * step, int(notes_T[a])) for a, b in pairwise(edges) if notes_T[a])

    def _contour(self, audio_N: np.ndarray, sample_rate: int) -> np.ndarray:
        """Probability of every bin in every frame, (T, 264)."""
        audio_N = resample(audio_N, sample_rate, RATE)
        frames, kept = -(-len(audio_N) // FRAME), FRAMES - 2 * EDGE
        windows = -(-frames // kept)
        padded = np.zeros((windows * kept + FRAMES) * FRAME + WINDOW, dtype=np.float32)
        padded[EDGE * FRAME : EDGE * FRAME + len(audio_N)] = audio_N
        stack = np.stack([padded[i * kept * FRAME :][:WINDOW] for i in range(windows)])[:, :, None]
        contour = self._session.run(["StatefulPartitionedCall:0"], {self._session.get_inputs()[0].name: stack})[0]
        return np.asarray(contour[:, EDGE:-EDGE].reshape(-1, contour.shape[-1])[:frames])
