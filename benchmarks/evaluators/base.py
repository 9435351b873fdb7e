"""What every evaluator offers the metrics: an embedding, class posteriors and text-audio similarity, with an identity.

Audio comes as a list of mono arrays (N,) at one sample rate, of any lengths. Results are float64 and those of one clip
never depend on its neighbours, on their order or on how many there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.registry import Registry

Audio = Sequence[NDArray[np.float32]]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatorOutput:
    """What an evaluator makes of n clips.

    Attributes:
        embeddings: (n, d), for set-level distances.
        posteriors: attribute -> class probabilities (n, classes); empty for an evaluator that does not classify.
        similarity: cosine between each clip and its caption (n,), in [-1, 1]; ``None`` without captions.
        silent: how many of the clips are silent.
        scores: axis -> an own score per clip (n,), e.g. production quality; empty for most evaluators.
    """

    embeddings: Float
    posteriors: dict[str, Float]
    similarity: Float | None
    silent: int = 0
    scores: dict[str, Float] = field(default_factory=dict)


class Evaluator(ABC):
    """Hears clips.

    Attributes:
        name: suffix of every metric made with it, e.g. ``"builtin"`` in ``fad_builtin`` (DESIGN.md, section 4, rule 7).
        identity: digest of weights and configuration; goes into every record and every cache key.
        classes: attribute -> its values, in the order of the posteriors' columns; may be empty.
        checkpoint: where the weights came from, e.g. a hub id with its revision; for the records.
    """

    name: str
    identity: str
    checkpoint: str = "shipped or trained by this suite"
    classes: dict[str, list[str]]

    @abstractmethod
    def hear(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Everything in one pass over the clips.

        Raises:
            UserError: a clip that cannot be scored (its number is named), or not one caption per clip.
        """

    def embed(self, audio: Audio, sample_rate: int) -> Float:
        """One embedding per clip, (n, d)."""
        return self.hear(audio, sample_rate).embeddings

    def posteriors(self, audio: Audio, sample_rate: int) -> dict[str, Float]:
        """Class probabilities per attribute, each (n, classes)."""
        return self.hear(audio, sample_rate).posteriors

    def text_similarity(self, audio: Audio, sample_rate: int, captions: Sequence[str]) -> Float:
        """Cosine between each clip and its caption, (n,); NaN from an evaluator that reads no captions."""
        similarity = self.hear(audio, sample_rate, captions).similarity
        return np.full(len(audio), np.nan) if similarity is None else similarity


OWN_ENVIRONMENTS = ("audiobox", "fadtk", "laion_clap", "panns", "passt")
EVALUATORS = Registry(
    "evaluator",
    {
        "builtin": "paradigm_bench.benchmarks.evaluators.builtin.provider:builtin_evaluator",
        "clap": "paradigm_bench.benchmarks.evaluators.pretrained:load_clap",
        "encodec": "paradigm_bench.benchmarks.evaluators.pretrained:load_encodec_embedding",
        **{name: f"benchmarks.evaluators.environments.evaluator:{name}" for name in OWN_ENVIRONMENTS},
    },
)


def get_evaluator(name: str = "builtin", **options: Any) -> Evaluator:
    """The evaluator called ``name``.

    Args:
        name: a registered name, with the checkpoint after a colon: ``"builtin"``, ``"clap:music"``,
            ``"encodec:FOLDER"``, ``"panns:FILE"``, ``"builtin:FOLDER"``; ``"builtin:7"`` is trained from seed 7 for
            the corpus, once, as a judge of its own; or ``package.module:attribute`` of a plugin.
        options: its own, and what is judged: ``corpus`` and ``representation`` (the built-in one trains on them).

    Raises:
        UserError: no such evaluator, no such checkpoint, or it cannot judge that corpus.
    """
    kind, _, source = name.partition(":")
    if kind not in EVALUATORS.names():
        kind = name
    elif kind == "builtin" and source.isdigit():
        options |= {"seed": int(source)}
    elif source:
        options |= {"folder": Path(source)} if kind == "builtin" else {"source": source}
    evaluator: Evaluator = EVALUATORS.load(kind)(**options)
    return evaluator
