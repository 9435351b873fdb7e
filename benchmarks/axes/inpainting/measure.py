"""Measurement of inpainting cells: fill the span of every prompt's clip, and score clip, span and seams."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from .... import paradigms
from ....common.files import write_json
from ....paradigms.base import Paradigm
from ....paradigms.pipeline import Generated
from ....training.sources import Data
from ...metrics.adherence import cosine_similarity
from ...metrics.seam import RealSeams
from ...study.axis import Context, UnsupportedError
from ...study.cells import Cell, EvaluationConfig
from ..eval_set import EvalSet, eval_audio
from ..fidelity.measure import FidelityGroup
from ..scoring import Scored, item_scores, joined, renamed, score
from .cells import InpaintingConfig
from .fill import EDITS, Span, drawn_spans, inpaint


class InpaintingGroup(FidelityGroup):
    """The cells of one trained arm, or of all references.

    Attributes:
        spans: the span of each prompt's clip, the same for all systems.
    """

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        config = cells[0].read(InpaintingConfig)
        if config.model is not None and not paradigms.find(config.model.paradigm).inpaints:  # before training
            raise UnsupportedError(f"paradigm {config.model.paradigm!r} cannot inpaint")
        super().__init__(cells, context)
        seconds, span = config.evaluation.seconds, config.evaluation.span
        names, latent = [clip.id for clip in self.eval_set.prompts], self.data.representation.spec
        self.spans = drawn_spans(names, seconds, span.seconds, span.margin, latent, "inpainting")
        self.span_eval_set = SpanEvalSet(self.eval_set, self.spans, config.evaluation, self.data)

    def reference(self, cell: Cell) -> np.ndarray:
        """The clips (n, N) of a floor or ceiling; the floors of this axis edit the prompts' own audio."""
        edit = EDITS.get(cell.read(InpaintingConfig).reference)
        if edit is None:
            return super().reference(cell)
        return edit(self.eval_set.prompt_audio_BN, self.spans, self.eval_set.sample_rate, cell.seed)

    def generate(self, cell: Cell, model: Paradigm, controls: Mapping[str, Tensor] | None = None) -> Generated:
        """Every prompt's own clip with its span filled by the model, given the caption and no temporal control."""
        config = cell.read(InpaintingConfig)
        return inpaint(
            model,
            self.data.representation,
            self.data.text,
            captions=[clip.caption for clip in self.eval_set.prompts],
            seeds=self.sampling_seeds(cell),
            sampler=model.sampler(config.sampler),
            audio_BN=self.eval_set.prompt_audio_BN,
            spans=self.spans,
            batch=cell.how["batch"],
            noise=config.noise,
        )

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of the whole clips, of the spans alone, of the seams, and of spans with their surroundings."""
        return joined(score(audio_BN, self.eval_set), self.span_eval_set.score(audio_BN))

    def extra_files(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Beginning and end of the spans of the kept clips, in seconds."""
        prompts = self.kept_prompts(cell)
        if not prompts:
            return {}
        name = f"spans/{cell.id}.json"
        write_json(self.context.results / name, {p: span.boundaries for p, span in zip(prompts, self.spans)})
        return {"spans": name}


class SpanEvalSet:
    """What the spans are scored against: the same spans of prompts and of reference clips, and real audio's seams.

    Clip i of the reference set loses the span of prompt i, so that the spans of both sets lie at the same places.
    """

    def __init__(self, eval_set: EvalSet, spans: Sequence[Span], evaluation: EvaluationConfig, data: Data) -> None:
        self.rate, self.spans, self.prompts = eval_set.sample_rate, spans, eval_set.prompts
        reference_BN = eval_audio(evaluation, data.corpus)[1][evaluation.prompts :]
        self.real = RealSeams(reference_BN, self.rate)
        self.evaluator, own_BN = eval_set.evaluator, self._inside(eval_set.prompt_audio_BN)
        self.inside = dataclasses.replace(
            eval_set,
            prompt_audio_BN=own_BN,
            prompt_outputs=self.evaluator.evaluate(list(own_BN), self.rate),
            reference_outputs=self.evaluator.evaluate(list(self._inside(reference_BN)), self.rate),
        )

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of the spans alone (names end in ``_span``), seam scores, and similarity of span and surroundings."""
        inside_BN = self._inside(audio_BN)
        alone = renamed(score(inside_BN, self.inside), "span")
        own = {"seam": self._seams(audio_BN), "context_similarity": self._similarity(audio_BN, inside_BN)}
        return joined(alone, item_scores(own, self.prompts, {}))

    def _seams(self, audio_BN: np.ndarray) -> np.ndarray:
        return np.array([self.real.score(audio_N, span.boundaries) for audio_N, span in zip(audio_BN, self.spans)])

    def _similarity(self, audio_BN: np.ndarray, inside_BN: np.ndarray) -> np.ndarray:
        """Cosine between the embeddings of the span and of the rest of the clip, whose two parts are joined."""
        around = [np.delete(audio_N, span.samples(self.rate)) for audio_N, span in zip(audio_BN, self.spans)]
        return cosine_similarity(
            self.evaluator.embed(list(inside_BN), self.rate), self.evaluator.embed(around, self.rate)
        )

    def _inside(self, audio_BN: np.ndarray) -> np.ndarray:
        return np.stack([audio_N[span.samples(self.rate)] for audio_N, span in zip(audio_BN, self.spans)])
