"""The network of the built-in attribute tagger: branches for pitch, timbre and rhythm, and a caption encoder.

Attributes (key, instruments, drums, tempo ...) are linear functions of the embedding, so sets of clips that differ in
one of them are apart in it, which is what a Frechet or kernel distance measures. Captions are mapped into a space
shared with audio and trained contrastively (Radford et al., 2021, arXiv:2103.00020, Figure 3; for audio Wu et al.,
2023, arXiv:2211.06687). Normalisation is by layer, without running statistics, so a clip's result never depends on its
batch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frontend import BINS_PER_SEMITONE, MEL_HOP, MELS, OCTAVES, PITCH_HOP, SAMPLE_RATE

PADDING, UNKNOWN = 0, 1  # token numbers that are no words
MAX_WORDS, MAX_VOCABULARY = 96, 4000
_WORD = re.compile(r"[\w#'/-]+|[^\w\s]")


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Args:
        window_seconds: length of one window; longer clips are split into windows.
        width: channels of the branches.
        embedding: dimensions of the embedding; few, because a Frechet distance needs more clips than dimensions.
        dropout: before the embedding, in training only.
    """

    window_seconds: float = 4.0
    width: int = 32
    embedding: int = 64
    dropout: float = 0.1

    @property
    def window(self) -> int:
        """Samples per window."""
        return round(self.window_seconds * SAMPLE_RATE)


class ChannelNorm(nn.GroupNorm):
    """Layer normalisation over channels and positions of one item."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


class PitchBranch(nn.Module):
    """Convolutions that are circular over the twelve pitch classes, so that all keys share the same weights.

    Features: mean activity of each pitch class over the window, and over its beginning, which has the first chord.
    """

    OPENING = round(0.6 * SAMPLE_RATE / PITCH_HOP)

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = OCTAVES * BINS_PER_SEMITONE
        self.layers = nn.ModuleList([nn.Conv2d(c, width, (12, 3), padding=(0, 1)) for c in (channels, width)])
        self.norms = nn.ModuleList([ChannelNorm(width) for _ in self.layers])
        self.features = 2 * 12 * width

    def forward(self, pitch_BCPT: Tensor) -> Tensor:
        """Pitch view (B, C, 12, T) to features (B, F)."""
        x = pitch_BCPT
        for convolve, normalise in zip(self.layers, self.norms):
            x = F.gelu(normalise(convolve(F.pad(x, (0, 0, 5, 6), mode="circular"))))
        return torch.cat([x.mean(-1).flatten(1), x[..., : self.OPENING].mean(-1).flatten(1)], 1)


class TimbreBranch(nn.Module):
    """Strided convolutions over the log-mel view; features are the mean and maximum over time per frequency band."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = (1, width, 2 * width, 3 * width, 3 * width)
        strides = ((2, 2), (2, 2), (2, 2), (2, 1))
        self.layers = nn.ModuleList(
            [nn.Conv2d(a, b, 3, stride, padding=1) for a, b, stride in zip(sizes, sizes[1:], strides)]
        )
        self.norms = nn.ModuleList([ChannelNorm(size) for size in sizes[1:]])
        self.features = 2 * sizes[-1] * MELS // 16

    def forward(self, mel_BMT: Tensor) -> Tensor:
        """Mel view (B, M, T) to features (B, F)."""
        x = mel_BMT[:, None]
        for convolve, normalise in zip(self.layers, self.norms):
            x = F.gelu(normalise(convolve(x)))
        return torch.cat([x.mean(-1).flatten(1), x.amax(-1).flatten(1)], 1)


class RhythmBranch(nn.Module):
    """Autocorrelation of onset strength in eight bands, up to two seconds: tempo and pattern, whatever the phase."""

    BANDS, LAGS = 8, round(2.0 * SAMPLE_RATE / MEL_HOP)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(self.BANDS * self.LAGS, 2 * width)
        self.features = 2 * width

    def forward(self, mel_BMT: Tensor) -> Tensor:
        """Mel view (B, M, T) to features (B, F)."""
        onsets = torch.unflatten(F.relu(mel_BMT.diff(dim=-1)), 1, (self.BANDS, -1)).mean(2)
        onsets = onsets - onsets.mean(-1, keepdim=True)
        length = onsets.shape[-1]
        spectrum = torch.fft.rfft(onsets, n=2 * length)
        correlation = torch.fft.irfft(spectrum.abs() ** 2, n=2 * length)[..., : self.LAGS]
        relative = correlation / (correlation[..., :1] + 1e-4)
        return F.gelu(self.project(relative.flatten(1)))


class TextTower(nn.Module):
    """Caption tokens to one vector: two convolutions over phrases ("C minor"), then mean and maximum over tokens."""

    def __init__(self, n_words: int, width: int, out: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_words + 2, 2 * width, padding_idx=PADDING)
        self.layers = nn.ModuleList([nn.Conv1d(2 * width, 2 * width, 3, padding=1) for _ in range(2)])
        self.project = nn.Linear(4 * width, out)

    def forward(self, text_BL: Tensor) -> Tensor:
        """Token numbers (B, L) to vectors (B, E)."""
        mask_B1L = (text_BL != PADDING)[:, None].float()
        x = self.embed(text_BL).transpose(1, 2)
        for convolve in self.layers:
            x = (x + F.gelu(convolve(x))) * mask_B1L
        mean = x.sum(-1) / mask_B1L.sum(-1).clamp(min=1)
        highest = x.masked_fill(mask_B1L == 0, -1e4).amax(-1)
        projected: Tensor = self.project(torch.cat([mean, highest], 1))
        return projected


@dataclass
class TaggerOutput:
    """Output for B windows: embedding (B, E), unit vector in the space shared with text (B, E), logits by attribute."""

    embedding_BE: Tensor
    shared_BE: Tensor
    logits: dict[str, Tensor]


class Tagger(nn.Module):
    """The whole network; its input are the two views of ``Frontend``.

    The names of its parts are the keys of published weights.

    Args:
        classes: attribute -> its values.
        n_words: size of the caption vocabulary.
    """

    def __init__(self, config: NetworkConfig, classes: dict[str, list[str]], n_words: int) -> None:
        super().__init__()
        self.pitch = PitchBranch(config.width)
        self.timbre = TimbreBranch(config.width)
        self.rhythm = RhythmBranch(config.width)
        branches = (self.pitch, self.timbre, self.rhythm)
        self.norms = nn.ModuleList([nn.LayerNorm(branch.features) for branch in branches])
        self.drop = nn.Dropout(config.dropout)
        self.embed = nn.Linear(sum(branch.features for branch in branches), config.embedding)
        self.scale = nn.LayerNorm(config.embedding, elementwise_affine=False)  # the same scale for every checkpoint
        self.heads = nn.ModuleDict({name: nn.Linear(config.embedding, len(v)) for name, v in classes.items()})
        self.share = nn.Linear(config.embedding, config.embedding)
        self.text = TextTower(n_words, config.width, config.embedding)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def forward(self, pitch_BCPT: Tensor, mel_BMT: Tensor) -> TaggerOutput:
        """Output for the pitch view (B, C, 12, T) and the mel view (B, M, T) of B windows."""
        parts = (self.pitch(pitch_BCPT), self.timbre(mel_BMT), self.rhythm(mel_BMT))
        features = torch.cat([normalise(part) for normalise, part in zip(self.norms, parts)], 1)
        embedding_BE = self.scale(self.embed(self.drop(features)))
        logits = {name: head(embedding_BE) for name, head in self.heads.items()}
        return TaggerOutput(embedding_BE, F.normalize(self.share(embedding_BE), dim=-1), logits)

    def embed_text(self, text_BL: Tensor) -> Tensor:
        """Token numbers (B, L) of captions as unit vectors in the space shared with audio, (B, E)."""
        return F.normalize(self.text(text_BL), dim=-1)


def split_words(caption: str) -> list[str]:
    """Words and punctuation with their case: ``"C# minor, 90 BPM"`` -> ``["C#", "minor", ",", "90", "BPM"]``.

    The case is kept because "A" the key is not "a" the article.
    """
    return _WORD.findall(caption)


def build_vocabulary(captions: Iterable[str]) -> tuple[str, ...]:
    """The words that occur at least twice, the 4000 most frequent ones, by frequency and then by spelling."""
    counts = Counter(word for caption in captions for word in split_words(caption))
    ranked = sorted((word for word, n in counts.items() if n > 1), key=lambda word: (-counts[word], word))
    return tuple(ranked[:MAX_VOCABULARY])


def encode_captions(captions: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    """Token numbers (B, L), 0 for padding and 1 for unknown words; words after the 96th are left out."""
    number = {word: i for i, word in enumerate(vocabulary, start=2)}
    rows = [[number.get(word, UNKNOWN) for word in split_words(caption)[:MAX_WORDS]] for caption in captions]
    out_BL = torch.full((len(rows), max(1, *map(len, rows)) if rows else 1), PADDING, dtype=torch.long)
    for i, row in enumerate(rows):
        out_BL[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return out_BL
