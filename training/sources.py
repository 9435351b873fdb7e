"""What a model is trained on and asked for: a corpus, its latents in a representation, and an encoder of its captions.

    corpus -> representation -> latents (cached) -> text encoder -> model

``Sources`` says where these are on this machine; ``identity`` names them by content, for records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpora import Corpus
from ..corpora.spec import CorpusChoice
from ..representations import load_representation
from ..representations.base import Representation
from ..representations.latents.encoded import LatentStore, encode_corpus
from ..representations.latents.normalisation import Normalisation
from ..representations.spec import LatentSpec
from ..representations.text.encoders import TextEncoder, load_text_encoder


@dataclass(frozen=True)
class Sources:
    """Where this machine finds what a cell names by content.

    Attributes:
        corpus: the audio, with captions.
        representation, text: specs of the representation and of the text encoder, as their registries read them.
        latents: number format of the cached latents that models are trained on.
        normalisation: of the latents that a model is trained on and generates.
        pretraining: a corpus for unconditional pre-training, whose captions are not read; None: the same corpus.
    """

    corpus: CorpusChoice
    representation: str
    text: str
    latents: str = "float32"
    normalisation: Normalisation = "paper"
    pretraining: CorpusChoice | None = None


@dataclass(frozen=True)
class Data:
    """What ``load_data`` loads.

    Attributes:
        store: the encoded training and validation clips; None where nothing is trained.
        unlabelled: the encoded clips of another corpus for pre-training; None: there is no such corpus.
    """

    sources: Sources
    corpus: Corpus
    representation: Representation
    text: TextEncoder
    store: LatentStore | None = None
    unlabelled: LatentStore | None = None

    @property
    def latent(self) -> LatentSpec:
        """The latents of a model, normalisation included."""
        return self.store.spec if self.store is not None else self.representation.spec


def load_data(sources: Sources, latents: bool = True, controls: Sequence[str] = ()) -> Data:
    """Load everything except the model.

    Args:
        latents: also load the encoded training and validation clips, from the cache where it has them.
        controls: names of the temporal controls to load with them.
    """
    corpus = sources.corpus.load()
    representation = load_representation(sources.representation)
    text = load_text_encoder(sources.text, [clip.caption for clip in corpus.clips("train")])
    store = unlabelled = None
    if latents:
        of, dtype = sources.normalisation, sources.latents
        held_out = ["valid"] if corpus.clips_by_split.get("valid") else []  # for the validation loss
        splits = ("train", *held_out)
        store = encode_corpus(corpus, representation, splits, normalisation=of, controls=controls, dtype=dtype)
        if sources.pretraining is not None:
            audio = sources.pretraining.load(captions=False)
            unlabelled = encode_corpus(audio, representation, ("train",), dtype=dtype)
    return Data(sources, corpus, representation, text, store, unlabelled)


def identity(data: Data) -> dict[str, Any]:
    """The data by content, as a cell's config has it: names and fingerprints, no paths."""
    latents = {} if data.sources.latents == "float32" else {"latents": data.sources.latents}
    return {
        "corpus": {"name": data.corpus.name, "fingerprint": data.corpus.fingerprint},
        "representation": {"name": data.representation.spec.name, "fingerprint": data.representation.fingerprint},
        "text": text_name(data.sources.text),
        **latents,
    }


def text_name(spec: str) -> str:
    """A text encoder's spec with each folder reduced to its name, because a path does not identify content."""
    return "+".join(
        f"{kind}:{Path(where).name}" if where else kind
        for kind, _, where in (s.partition(":") for s in spec.split("+"))
    )
