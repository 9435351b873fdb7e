"""The melody by basic-pitch (Bittner et al., ICASSP 2022): of its contour within G2..B6 the highest strong pitch.

Strong is half as probable as the strongest, since a melody lies on top more often than it is the loudest.
The package is Apache-2.0; only the network's ONNX file is taken from it, and it need not be imported (it asks for
TensorFlow): install it by ``pip install --no-deps basic-pitch==0.4.0`` beside ``onnxruntime``. Its windows are 43844
samples at 22050 Hz and give 172 frames of 256 samples, 264 bins of a third of a semitone from 27.5 Hz.
"""

from __future__ import annotations

import os
from importlib import metadata
from itertools import pairwise
from math import gcd
from pathlib import Path

import numpy as np

from ...common.errors import UserError
from .melody import NOTES

RATE, WINDOW, FRAME = 22_050, 43_844, 256
FRAMES, EDGE = 172, 15  # of a window, and those cut off at both of its ends
VOICED = 0.25  # of the contour's probability; below nobody plays
STRONG = 0.5  # of the strongest pitch's probability
LOWEST_BIN_MIDI, BINS_PER_NOTE = 21, 3


class BasicPitch:
    """Other people's network; optional."""

    name = "basic-pitch 0.4.0 contour"

    def __init__(self) -> None:
        try:
            import onnxruntime

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
        """Notes as (start, end, MIDI note), frame by frame, neighbours of equal pitch joined."""
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
        from scipy.signal import resample_poly

        common = gcd(RATE, sample_rate)
        audio_N = resample_poly(audio_N, RATE // common, sample_rate // common)
        frames, kept = -(-len(audio_N) // FRAME), FRAMES - 2 * EDGE
        windows = -(-frames // kept)
        padded = np.zeros((windows * kept + FRAMES) * FRAME + WINDOW, dtype=np.float32)
        padded[EDGE * FRAME : EDGE * FRAME + len(audio_N)] = audio_N
        stack = np.stack([padded[i * kept * FRAME :][:WINDOW] for i in range(windows)])[:, :, None]
        contour = self._session.run(["StatefulPartitionedCall:0"], {self._session.get_inputs()[0].name: stack})[0]
        return np.asarray(contour[:, EDGE:-EDGE].reshape(-1, contour.shape[-1])[:frames])
