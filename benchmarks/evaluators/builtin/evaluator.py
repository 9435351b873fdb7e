"""The built-in attribute tagger: the trained network, applied to one clip at a time, and its checkpoints.

It runs on one thread, so a result is the same to the last digit on every machine of one kind. A checkpoint is a folder
with ``weights.safetensors`` and ``evaluator.json``: sizes, classes, vocabulary, and the record of how it was trained.
The identity is a hash of everything that decides a score; the record of its training is not part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ....common.config import config_hash, from_dict, to_dict
from ....common.errors import UserError
from ....common.files import read_json, write_json, write_tensors
from ...metrics.adherence import cosine_similarity
from .. import audio as policy
from ..audio import one_thread
from ..base import Audio, Evaluator, EvaluatorOutput, Float
from .frontend import SAMPLE_RATE, Frontend
from .network import NetworkConfig, Tagger, encode_captions

FORMAT = 1  # to be raised when front-end, network or audio preparation change the output of a checkpoint
SHIPPED = Path(__file__).parents[1] / "weights" / "builtin"
OPENING_ATTRIBUTES = ("root",)  # of the beginning of a clip: predicted from its first window alone


class BuiltinEvaluator(Evaluator):
    """See ``benchmarks.evaluators.base.Evaluator``.

    Args:
        network: the trained network; it is set to evaluation mode.
        vocabulary: the known words of captions, in order.
        record: how it was trained; JSON-ready.
    """

    name = "builtin"
    role = "tagger"

    def __init__(
        self,
        network: Tagger,
        config: NetworkConfig,
        classes: dict[str, list[str]],
        vocabulary: tuple[str, ...],
        record: dict[str, Any],
    ) -> None:
        self.network, self.config, self.classes = network.eval(), config, classes
        self.vocabulary, self.record = vocabulary, record
        self.frontend = Frontend()
        self.identity = self._identity()

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Embeddings, posteriors and, with captions, similarities; see ``Evaluator.evaluate``."""
        policy.check(audio, sample_rate, "audio")
        policy.check_captions(audio, captions)
        embeddings, similarity = [], []
        posteriors: dict[str, list[Tensor]] = {name: [] for name in self.classes}
        with torch.inference_mode(), one_thread():
            for i, wav in enumerate(audio):
                prepared = policy.prepare(wav, sample_rate, SAMPLE_RATE)
                window_WN = torch.from_numpy(policy.windows(prepared, self.config.window))
                output = self.network(*self.frontend(window_WN))
                embeddings.append(output.embedding_BE.double().mean(0))
                for name, logits in output.logits.items():
                    mine = logits[:1] if name in OPENING_ATTRIBUTES else logits
                    posteriors[name].append(mine.double().softmax(-1).mean(0))
                if captions is not None:
                    text_1E = self.network.embed_text(encode_captions([captions[i]], self.vocabulary))
                    audio_1E = output.shared_BE.double().mean(0)[None]
                    similarity.append(cosine_similarity(audio_1E.numpy(), text_1E.double().numpy())[0])
        return EvaluatorOutput(
            embeddings=_stack(embeddings),
            posteriors={name: _stack(rows) for name, rows in posteriors.items()},
            similarity=np.array(similarity) if captions is not None else None,
            silent=sum(policy.is_silent(wav) for wav in audio),
        )

    def save(self, folder: Path) -> None:
        """Write the checkpoint; the JSON is written last, so that a folder that has it is complete."""
        write_tensors(folder / "weights.safetensors", self.network.state_dict())
        data = {"format": FORMAT, "identity": self.identity, "network": to_dict(self.config), "classes": self.classes}
        write_json(folder / "evaluator.json", {**data, "record": self.record, "vocabulary": list(self.vocabulary)})

    @classmethod
    def load(cls, folder: Path) -> BuiltinEvaluator:
        """Read a checkpoint.

        Raises:
            UserError: not an evaluator's folder, another format, or weights that do not belong to the JSON.
        """
        data = read_json(folder / "evaluator.json")
        if data.get("format") != FORMAT:
            raise UserError(
                f"{folder}: evaluator format {data.get('format')}, this version reads {FORMAT}; train it anew"
            )
        config = from_dict(NetworkConfig, data["network"], f"{folder}/evaluator.json: network")
        classes, vocabulary = data["classes"], tuple(data["vocabulary"])
        network = Tagger(config, classes, len(vocabulary))
        try:
            network.load_state_dict(load_file(folder / "weights.safetensors"))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder}/weights.safetensors: {reason}; train the evaluator anew") from error
        evaluator = cls(network, config, classes, vocabulary, data["record"])
        if evaluator.identity != data["identity"]:
            raise UserError(f"{folder}: weights and evaluator.json do not belong together; train the evaluator anew")
        return evaluator

    def _identity(self) -> str:
        about = {"format": FORMAT, "network": to_dict(self.config), "classes": self.classes, "words": self.vocabulary}
        digest = hashlib.sha256(config_hash(about).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def _stack(rows: list[Tensor]) -> Float:
    return torch.stack(rows).numpy()
