"""What the judges with a network share: a spectrogram of the whole clip, cut into patches of equal length.

Each patch goes through the network alone and on one thread, so the kernels always see one shape, and the result of a
clip is the same to the last digit in every batch, order and number of threads.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....common.config import config_hash
from ....common.errors import UserError
from .. import audio as policy
from ..audio import one_thread
from ..base import Audio, Evaluator, EvaluatorOutput
from .weights import Package, load_weights


class PatchJudge(Evaluator):
    """Base class of judges with a network.

    The embedding of a clip is the mean over its patches, and so are its class probabilities, one classifier ``tags``.
    Patches are consecutive, the last one aligned to the end of the clip.

    Args:
        package: where the weights come from.
        network: maps a patch (1, frames, bands) to embedding (1, d) and class probabilities (1, classes); filled with
            the weights here.

    Attributes:
        sample_rate: of the network's audio, in Hz.
        frames: length of a patch.
        front_end: settings of the spectrogram; part of the identity, so raise its ``format`` when the result changes.

    Raises:
        UserError: the weights are not installed, or damaged.
    """

    reads_captions = False
    sample_rate: int
    frames: int
    front_end: ClassVar[dict[str, Any]]

    def __init__(self, package: Package, network: nn.Module) -> None:
        self.name, self.checkpoint, self.classes = package.judge, package.checkpoint, {}
        network.load_state_dict({name: torch.from_numpy(values) for name, values in load_weights(package).items()})
        self.network = network.eval()
        self.identity = config_hash({"weights": package.weights_sha256, **self.front_end}, length=16)

    @abstractmethod
    def spectrogram(self, wav: NDArray[np.float32]) -> Tensor:
        """What the network sees of a prepared clip (N,), float32 (T, bands)."""

    @abstractmethod
    def lengthen(self, spectrogram_TF: Tensor) -> Tensor:
        """A spectrogram that is shorter than a patch, made one patch long."""

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Embeddings (n, d) and posteriors; captions are ignored. See ``Evaluator.evaluate``."""
        policy.check(audio, sample_rate, "audio")
        policy.check_captions(audio, captions)
        embedding_ND, tags_NC = [], []
        for wav in audio:
            embedding_PD, tags_PC = self.evaluate_patches(policy.prepare(wav, sample_rate, self.sample_rate))
            embedding_ND.append(embedding_PD.mean(0))
            shares_C = tags_PC.mean(0)
            tags_NC.append(shares_C / shares_C.sum())
        silent = sum(policy.is_silent(wav) for wav in audio)
        return EvaluatorOutput(np.stack(embedding_ND), {"tags": np.stack(tags_NC)}, None, silent)

    def evaluate_patches(self, wav: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Embedding (P, d) and class probabilities (P, classes) of each patch of a prepared clip (N,)."""
        with torch.inference_mode(), one_thread():
            outputs = [self.network(patch_TF[None]) for patch_TF in self.patches(self.spectrogram(wav))]
            embedding_PD, tags_PC = (torch.cat(parts).double().numpy() for parts in zip(*outputs))
        return embedding_PD, tags_PC

    def patches(self, spectrogram_TF: Tensor) -> list[Tensor]:
        """Consecutive patches (frames, bands), the last one aligned to the end."""
        frames, size = len(spectrogram_TF), self.frames
        if frames < size:
            return [self.lengthen(spectrogram_TF)]
        starts = [*range(0, frames - size, size), frames - size]
        return [spectrogram_TF[start : start + size].contiguous() for start in starts]


def no_source(name: str, source: str) -> None:
    """Refuse ``NAME:SOURCE`` for a judge, which has one set of weights.

    Raises:
        UserError: there is a source.
    """
    if source:
        raise UserError(f"{name}:{source}: this judge has one set of weights; name it {name!r}")
