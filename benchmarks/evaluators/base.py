"""Evaluators: networks that turn audio into embeddings, class posteriors and text-audio similarity for the metrics.

Audio is a list of mono float32 arrays (N,) of any lengths at one sample rate in Hz. Results are float64, and the result
of a clip does not depend on the other clips, on their order or on their number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...common.registry import Registry

Audio = Sequence[NDArray[np.float32]]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluatorOutput:
    """The output of an evaluator for n clips.

    Attributes:
        embeddings: (n, d), for set-level distances.
        posteriors: attribute -> class probabilities (n, classes); empty for an evaluator that does not classify.
        similarity: cosine between each clip and its caption (n,), in [-1, 1]; ``None`` without captions.
        silent: number of silent clips.
        scores: name -> a score per clip (n,) that the evaluator computes itself, e.g. production quality; mostly empty.
        band_levels: level of each octave band of each clip (n, bands), in dB; ``None`` from most evaluators.
    """

    embeddings: Float
    posteriors: dict[str, Float]
    similarity: Float | None
    silent: int = 0
    scores: dict[str, Float] = field(default_factory=dict)
    band_levels: Float | None = None


class Evaluator(ABC):
    """Base class of evaluators.

    Attributes:
        name: suffix of every metric computed from its outputs, e.g. ``"builtin"`` in ``fad_builtin``.
        identity: digest of weights and configuration; part of every record and of every cache key.
        classes: attribute -> its values, in the order of the posteriors' columns; may be empty.
        checkpoint: source of the weights for the records, e.g. a hub id with its revision.
        role: ``tagger``: trained to name the attributes that captions ask for, so its posteriors decide adherence, and
            its distances are no fidelity; ``judge``: independent of the suite, so its distances measure fidelity.
        reads_captions: whether outputs depend on the captions, so that a clip is evaluated once for each.
    """

    name: str
    identity: str
    checkpoint: str = "shipped or trained by this suite"
    classes: dict[str, list[str]]
    role: Literal["tagger", "judge"] = "judge"
    reads_captions: bool = True

    @abstractmethod
    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """All outputs for the clips, in one pass.

        Args:
            audio: n mono clips (N,).
            sample_rate: of all clips, in Hz.
            captions: the caption of each clip, for the text-audio similarity.

        Raises:
            UserError: a clip that cannot be scored (its number is named), or not one caption per clip.
        """

    def embed(self, audio: Audio, sample_rate: int) -> Float:
        """Embeddings of n clips, (n, d)."""
        return self.evaluate(audio, sample_rate).embeddings

    def posteriors(self, audio: Audio, sample_rate: int) -> dict[str, Float]:
        """Class probabilities of n clips by attribute, each (n, classes)."""
        return self.evaluate(audio, sample_rate).posteriors

    def text_similarity(self, audio: Audio, sample_rate: int, captions: Sequence[str]) -> Float:
        """Cosine between each clip and its caption, (n,); NaN from an evaluator that reads no captions."""
        similarity = self.evaluate(audio, sample_rate, captions).similarity
        return np.full(len(audio), np.nan) if similarity is None else similarity


OWN_ENVIRONMENTS = ("audiobox", "fadtk", "laion_clap", "panns", "passt")
EVALUATORS = Registry(
    "evaluator",
    {
        "builtin": "paradigm_bench.benchmarks.evaluators.builtin.training:builtin_evaluator",
        "musicnn": "paradigm_bench.benchmarks.evaluators.judges.musicnn:musicnn",
        "musicnn_msd": "paradigm_bench.benchmarks.evaluators.judges.musicnn:musicnn_msd",
        "aisfx": "paradigm_bench.benchmarks.evaluators.judges.aisfx:aisfx",
        "logmel": "paradigm_bench.benchmarks.evaluators.judges.logmel:logmel",
        "clap": "paradigm_bench.benchmarks.evaluators.pretrained:load_clap",
        "encodec": "paradigm_bench.benchmarks.evaluators.pretrained:load_encodec_embedding",
        **{name: f"paradigm_bench.benchmarks.evaluators.environments.evaluator:{name}" for name in OWN_ENVIRONMENTS},
    },
)


def get_evaluator(name: str = "builtin", **options: Any) -> Evaluator:
    """The evaluator called ``name``.

    Args:
        name: a registered name, with a checkpoint after a colon: ``"builtin"``, ``"clap:music"``,
            ``"encodec:FOLDER"``, ``"panns:FILE"``, ``"builtin:FOLDER"``; ``"builtin:7"`` is trained on the corpus from
            seed 7 and differs from the default one; or ``package.module:attribute`` of a plugin.
        options: its own settings, and what the built-in attribute tagger is trained on: ``corpus`` and
            ``representation``.

    Raises:
        UserError: no such evaluator, no such checkpoint, or it cannot be trained on that corpus.
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
