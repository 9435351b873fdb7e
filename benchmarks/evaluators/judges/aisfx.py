"""aisfx, a classifier of sound effects, as a judge: Ma and Lerch (2022), ISMIR; package aisfx 0.1.2.

The embedding (512) is the output of the convolutions; the posteriors are those of the head ``prosfx`` (78 classes,
whose names were not published). It works at 44.1 kHz: audio at 16 kHz leaves its bands above 8 kHz empty, so compare
only sets of one sample rate. It reacts strongly to hiss.

A clip shorter than a patch of 100 frames (2.3 s) is followed by silence, as in the original. The original drops the
rest of a clip after its last whole patch; here a last patch ends with the clip.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..base import Evaluator
from ..cache import CachedEvaluator
from .mel import htk_filters, spectrum
from .patches import PatchJudge, no_source
from .weights import PACKAGES

SAMPLE_RATE, N_FFT, HOP, MELS, FRAMES = 44_100, 2048, 1024, 96, 100
LARGEST = 9.457798957824707  # of all log-mel values in the network's training data
WIDTHS, CLASSES = (64, 128, 256, 512), 78


class Aisfx(PatchJudge):
    """See ``PatchJudge``."""

    sample_rate, frames = SAMPLE_RATE, FRAMES
    front_end: ClassVar = {"format": 1, "rate": SAMPLE_RATE, "n_fft": N_FFT, "hop": HOP, "mels": MELS, "frames": FRAMES}

    def __init__(self) -> None:
        super().__init__(PACKAGES["aisfx"], AisfxNetwork())
        self._filters_MF = torch.from_numpy(htk_filters(MELS, SAMPLE_RATE, N_FFT))
        self._window_N = torch.hann_window(N_FFT, periodic=False, dtype=torch.float64)

    def spectrogram(self, wav: NDArray[np.float32]) -> Tensor:
        """log10(1 + 10,000 mel power) over its largest value in training, (T, 96)."""
        wav_N = functional.pad(torch.from_numpy(wav).double(), (0, HOP))  # essentia has a frame beyond the end
        mel_MT = self._filters_MF @ spectrum(wav_N, N_FFT, HOP, self._window_N)
        return (torch.log10(1e4 * mel_MT.T + 1.0) / LARGEST).float()

    def lengthen(self, spectrogram_TF: Tensor) -> Tensor:
        """Silence after the end."""
        return functional.pad(spectrogram_TF, (0, 0, 0, FRAMES - len(spectrogram_TF)))


class AisfxNetwork(nn.Module):
    """Patches (B, 100, 96) to the embedding (B, 512) and class probabilities (B, 78)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(1, 64), *pairwise(WIDTHS)]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for first, n in sizes for a, b in ((first, n), (n, n))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in WIDTHS for _ in range(2))
        self.head = nn.Sequential(
            nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, CLASSES)
        )

    def forward(self, patch_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and probabilities."""
        x = patch_BTF[:, None]
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = functional.relu(norm(conv(x)))
            if i in (1, 3, 5):
                x = functional.max_pool2d(x, 2)
        embedding_BD = x.mean(3).amax(2)
        return embedding_BD, self.head(embedding_BD).softmax(1)


def aisfx(source: str = "", **context: Any) -> Evaluator:
    """The judge ``aisfx``; ``context`` (corpus, representation) is ignored.

    Raises:
        UserError: its weights are not installed.
    """
    no_source("aisfx", source)
    return CachedEvaluator(Aisfx())
