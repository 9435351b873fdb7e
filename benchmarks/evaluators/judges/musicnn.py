"""musicnn, a tagger of music, as a judge: Pons and Serra (2019), arXiv:1909.06654; package musicnn 0.1.0.

A port to torch of the published network; it gives what the original gives (tests/unit/benchmarks/evaluators). The
embedding is the layer before the last (200), normalised; the posteriors are the 50 tags' probabilities, scaled to sum
1.

A clip shorter than a patch of 187 frames (3 s) is repeated until it fills one, as in the network's training. The
original drops the rest of a clip after its last whole patch; here a last patch ends with the clip.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..base import Evaluator
from ..cache import CachedEvaluator
from .mel import slaney_filters, spectrum
from .patches import PatchJudge, no_source
from .weights import PACKAGES, Package

SAMPLE_RATE, N_FFT, HOP, MELS, FRAMES = 16_000, 512, 256, 96, 187
TIMBRAL_BANDS, TEMPORAL_FRAMES = (38, 67), (128, 64, 32)  # sizes of the first layer's filters
TIMBRAL, TEMPORAL, MIDDLE, HIDDEN, TAGS = 204, 51, 64, 200, 50  # channels
EPSILON = 1e-3  # of batch norms


class Musicnn(PatchJudge):
    """See ``PatchJudge``.

    Args:
        package: ``musicnn`` (trained on MagnaTagATune) or ``musicnn_msd`` (Million Song Dataset).
    """

    sample_rate, frames = SAMPLE_RATE, FRAMES
    front_end: ClassVar = {"format": 1, "rate": SAMPLE_RATE, "n_fft": N_FFT, "hop": HOP, "mels": MELS, "frames": FRAMES}

    def __init__(self, package: Package) -> None:
        super().__init__(package, MusicnnNetwork())
        self._filters_MF = torch.from_numpy(slaney_filters(MELS, SAMPLE_RATE / 2, SAMPLE_RATE, N_FFT))
        self._window_N = torch.hann_window(N_FFT, dtype=torch.float64)

    def spectrogram(self, wav: NDArray[np.float32]) -> Tensor:
        """log10(1 + 10,000 mel power), (T, 96); power is rounded to float16 first, since the training data were."""
        mel_MT = self._filters_MF @ spectrum(torch.from_numpy(wav).double(), N_FFT, HOP, self._window_N)
        return torch.log10(1e4 * mel_MT.T.half().float() + 1.0)

    def lengthen(self, spectrogram_TF: Tensor) -> Tensor:
        """The frames repeated from the first one on."""
        return spectrogram_TF[torch.arange(FRAMES) % len(spectrogram_TF)]


class MusicnnNetwork(nn.Module):
    """Patches (B, 187, 96) to the penultimate layer (B, 200) and the tags' probabilities (B, 50)."""

    def __init__(self) -> None:
        super().__init__()
        joined = len(TIMBRAL_BANDS) * TIMBRAL + len(TEMPORAL_FRAMES) * TEMPORAL
        pooled = 2 * (joined + 3 * MIDDLE)
        self.input_norm = nn.BatchNorm2d(1, EPSILON)
        self.timbral = nn.ModuleList(NormedConv(nn.Conv2d(1, TIMBRAL, (7, bands))) for bands in TIMBRAL_BANDS)
        self.temporal = nn.ModuleList(NormedConv(nn.Conv2d(1, TEMPORAL, (frames, 1))) for frames in TEMPORAL_FRAMES)
        self.middle = nn.ModuleList(NormedConv(nn.Conv1d(n, MIDDLE, 7, padding=3)) for n in (joined, MIDDLE, MIDDLE))
        self.pooled_norm, self.dense = nn.BatchNorm1d(pooled, EPSILON), nn.Linear(pooled, HIDDEN)
        self.dense_norm, self.output = nn.BatchNorm1d(HIDDEN, EPSILON), nn.Linear(HIDDEN, TAGS)

    def forward(self, patch_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Penultimate layer and probabilities."""
        mean_BC, most_BC = self.pools(patch_BTF)
        pooled_BD = torch.stack([most_BC, mean_BC], 2).flatten(1)  # maximum and mean of each channel side by side
        hidden_BH = self.dense_norm(functional.relu(self.dense(self.pooled_norm(pooled_BD))))
        return hidden_BH, self.output(hidden_BH).sigmoid()

    def pools(self, patch_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and maximum over time of all channels, each (B, 753)."""
        x_B1TF = self.input_norm(patch_BTF[:, None])
        wide_B1TF = functional.pad(x_B1TF, (0, 0, 3, 3))
        first = [block(wide_B1TF).amax(3) for block in self.timbral]
        for frames, block in zip(TEMPORAL_FRAMES, self.temporal):
            padding = (0, 0, (frames - 1) // 2, frames // 2)  # TensorFlow's "same" for an even kernel
            first.append(block(functional.pad(x_B1TF, padding)).amax(3))
        layers = [torch.cat(first, 1)]
        layers.append(self.middle[0](layers[0]))
        layers.append(self.middle[1](layers[1]) + layers[1])
        layers.append(self.middle[2](layers[2]) + layers[2])
        features_BCT = torch.cat(layers, 1)
        return features_BCT.mean(2), features_BCT.amax(2)


class NormedConv(nn.Module):
    """Convolution, ReLU, batch norm, in this order."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = (nn.BatchNorm2d if isinstance(conv, nn.Conv2d) else nn.BatchNorm1d)(conv.out_channels, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T) or (B, channels, T, F)."""
        output: Tensor = self.norm(functional.relu(self.conv(x)))
        return output


def musicnn(source: str = "", **context: Any) -> Evaluator:
    """The judge ``musicnn``; ``context`` (corpus, representation) is ignored."""
    return _load("musicnn", source)


def musicnn_msd(source: str = "", **context: Any) -> Evaluator:
    """The judge ``musicnn_msd``; ``context`` is ignored.

    Raises:
        UserError: its weights are not installed.
    """
    return _load("musicnn_msd", source)


def _load(name: str, source: str) -> Evaluator:
    no_source(name, source)
    return CachedEvaluator(Musicnn(PACKAGES[name]))
