"""CLAP and EnCodec as evaluators, by the package transformers.

    get_evaluator("clap:music")                          a short name, a hub id, or a folder of save_pretrained
    get_evaluator("clap:laion/clap-htsat-unfused")
    get_evaluator("encodec:facebook/encodec_24khz")

Clips are prepared as for every evaluator (``audio.py``): consecutive windows whose results are averaged, one clip at a
time, on one thread. CLAP's own feature extractor would crop long clips at random, so that a clip has many embeddings
(with cosines down to 0.3); here it never gets more than one window.

Sources: CLAP: Wu et al. (2023), arXiv:2211.06687. EnCodec as an embedding (the continuous encoder output, averaged
over time): Gui et al. (2024), arXiv:2311.01616, the paper of fadtk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.config import config_hash
from ...common.errors import UserError
from ...common.lines import count
from ...representations.base import fingerprint, load_pretrained
from ..metrics.adherence import cosine_similarity
from . import audio as policy
from .audio import one_thread
from .base import Audio, Evaluator, EvaluatorOutput
from .cache import CachedEvaluator

CLAP_CHECKPOINTS = {"general": "laion/clap-htsat-unfused", "music": "laion/larger_clap_music"}
ENCODEC_DEFAULT = "facebook/encodec_24khz"
FORMAT = 1  # raise it when what a network is fed, or what is made of its output, changes


class Clap(Evaluator):
    """CLAP: embeddings of audio and text in one space.

    Args:
        model: a ``ClapModel``.
        processor: its ``ClapProcessor``: log-mel features and tokens.
        name: suffix of the metrics.
        checkpoint: source of the weights, for the records.
    """

    def __init__(self, model: Any, processor: Any, name: str, checkpoint: str) -> None:
        self.model, self.tokenizer, self.features = model.eval(), processor.tokenizer, processor.feature_extractor
        self.name, self.checkpoint, self.classes = name, checkpoint, {}
        vocabulary = config_hash({"vocabulary": sorted(self.tokenizer.get_vocab().items())})
        about = {"format": FORMAT, "features": _plain(self.features.to_dict()), "words": vocabulary}
        self.identity = fingerprint(model, {**about, "config": _plain(model.config.to_dict())})

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Embeddings (n, d) and similarities; see ``Evaluator.evaluate``."""
        policy.check(audio, sample_rate, "audio")
        policy.check_captions(audio, captions)
        embedding_ND, similarity = [], []
        with torch.inference_mode(), one_thread():
            for i, wav in enumerate(audio):
                embedding_ND.append(self._embedding(policy.prepare(wav, sample_rate, self.features.sampling_rate)))
                if captions is not None:
                    pair = embedding_ND[-1][None], self._text(captions[i])[None]
                    similarity.append(cosine_similarity(*pair)[0])
        return EvaluatorOutput(
            embeddings=np.stack(embedding_ND),
            posteriors={},
            similarity=None if captions is None else np.array(similarity),
            silent=sum(policy.is_silent(wav) for wav in audio),
        )

    def _embedding(self, wav: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean of the normalised embeddings over the windows of a prepared clip (N,); returns (d,).

        The feature extractor repeats a clip that is shorter than a window, as in the training of CLAP.
        """
        size, rate, output_WD = self.features.nb_max_samples, self.features.sampling_rate, []
        for piece in [wav] if len(wav) <= size else policy.windows(wav, size):
            mel = self.features(piece, sampling_rate=rate, return_tensors="pt").input_features.float()
            not_longer = torch.zeros(1, 1, dtype=torch.bool)  # for fused checkpoints: the clip is one window
            output_WD.append(self.model.get_audio_features(mel, not_longer).pooler_output[0].double().numpy())
        return np.asarray(np.mean(output_WD, axis=0))

    def _text(self, caption: str) -> NDArray[np.float64]:
        tokens = self.tokenizer(caption, truncation=True, return_tensors="pt")
        output: Tensor = self.model.get_text_features(tokens.input_ids, tokens.attention_mask).pooler_output
        return output[0].double().numpy()


class EncodecEmbedding(Evaluator):
    """The output of EnCodec's encoder before the quantiser, averaged over time.

    Args:
        model: an ``EncodecModel`` that works on whole clips (24 or 32 kHz).
        name: suffix of the metrics.
        checkpoint: source of the weights, for the records.

    Raises:
        UserError: the chunked, normalising 48 kHz model.
    """

    def __init__(self, model: Any, name: str, checkpoint: str) -> None:
        if model.config.normalize or model.config.chunk_length_s is not None:
            raise UserError(f"{checkpoint}: the chunked EnCodec (48 kHz) is no evaluator here; take 24 or 32 kHz")
        self.model, self.name, self.checkpoint, self.classes = model.eval(), name, checkpoint, {}
        self.identity = fingerprint(model, {"format": FORMAT, "config": _plain(model.config.to_dict())})

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Embeddings (n, d); captions are ignored. See ``Evaluator.evaluate``."""
        policy.check(audio, sample_rate, "audio")
        config, embedding_ND = self.model.config, []
        with torch.inference_mode(), one_thread():
            for wav in audio:
                prepared = torch.from_numpy(policy.prepare(wav, sample_rate, config.sampling_rate))
                z_1DT = self.model.encoder(prepared.expand(1, config.audio_channels, -1))
                embedding_ND.append(z_1DT[0].double().mean(-1).numpy())
        return EvaluatorOutput(np.stack(embedding_ND), {}, None, sum(policy.is_silent(wav) for wav in audio))


def load_clap(source: str = "general", **context: Any) -> Evaluator:
    """CLAP from ``"general"``, ``"music"``, a hub id or a folder; ``context`` (corpus, representation) is ignored.

    Raises:
        UserError: the weights cannot be found, or are not CLAP's.
    """
    from transformers import ClapModel, ClapProcessor

    path = CLAP_CHECKPOINTS.get(source, source)
    model = _load(ClapModel, path, "clap")
    processor = load_pretrained(ClapProcessor, path, "CLAP processor")
    short = {path: name for name, path in CLAP_CHECKPOINTS.items()}.get(path)
    return CachedEvaluator(Clap(model, processor, f"clap_{short or _suffix(path)}", _checkpoint(path, model)))


def load_encodec_embedding(source: str = ENCODEC_DEFAULT, **context: Any) -> Evaluator:
    """EnCodec from a hub id or a folder; ``context`` (corpus, representation) is ignored.

    Raises:
        UserError: the weights cannot be found, are not EnCodec's, or are of the 48 kHz model.
    """
    from transformers import EncodecModel

    model = _load(EncodecModel, source, "encodec")
    rate = f"{model.config.sampling_rate / 1000:g}k"
    return CachedEvaluator(EncodecEmbedding(model, f"encodec_{rate}", _checkpoint(source, model)))


def _load(factory: Any, source: str, kind: str) -> Any:
    """A model of ``factory``, after a check of the checkpoint's type (transformers would fill another model's weights
    with random numbers).

    Raises:
        UserError: nothing there, or another kind of model.
    """
    from transformers import AutoConfig

    found = load_pretrained(AutoConfig, source, f"{kind} checkpoint").model_type
    if found != kind:
        raise UserError(f"{source} is a {found!r} checkpoint, not {kind!r}; give a {kind} folder or hub id")
    model, info = load_pretrained(_WithInfo(factory), source, f"{kind} checkpoint")
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"{source} lacks {count(len(missing), 'tensor')}, such as {missing[0]}; fetch the checkpoint anew"
        )
    return model


class _WithInfo:
    """A transformers class whose ``from_pretrained`` also returns which weights were missing."""

    def __init__(self, factory: Any) -> None:
        self.factory = factory

    def from_pretrained(self, source: str) -> Any:
        """(model, loading info)."""
        return self.factory.from_pretrained(source, dtype=torch.float32, output_loading_info=True)


def _suffix(source: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", Path(source).name.lower()).strip("_")


def _checkpoint(source: str, model: Any) -> str:
    """Hub id and revision, or the name of a local folder without its path."""
    if Path(source).expanduser().is_dir():
        return Path(source).name
    return f"{source}@{getattr(model.config, '_commit_hash', None) or 'unknown revision'}"


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without the keys that name only where and by which version it was saved."""
    return {k: v for k, v in config.items() if not k.startswith("_") and k != "transformers_version"}
