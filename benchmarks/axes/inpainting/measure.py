"""Measurement of inpainting cells: fill the span of every prompt's clip, and score span, seams and whole clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from .... import paradigms
from ....common.files import write_json
from ....paradigms.base import Paradigm
from ....paradigms.pipeline import Generated
from ....training.sources import Data
from ...evaluators import Evaluator
from ...metrics.seam import RealSpans
from ...metrics.statistics import contributions
from ...study.axis import Context, UnsupportedError
from ...study.cells import Cell
from ..eval_set import EvalSet, eval_audio
from ..fidelity.measure import FidelityGroup
from ..scoring import Scored, item_scores, joined, renamed, score
from .cells import InpaintingConfig, InpaintingEvaluation
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
    """What spans are scored against: the same spans of prompts and of reference clips, and real audio's seams.

    Distances are measured on crops: the span with ``context`` seconds on either side, so that an evaluator hears what
    the span joins, and as little else as possible. Clip i of the reference set is cropped like prompt i.

    Attributes:
        context: the known seconds on either side, at most half of the span's length (equal parts of both).
        real: untouched spans of the reference clips, for the seam distance.
        crops: prompts and reference set, cropped.
    """

    def __init__(self, eval_set: EvalSet, spans: Sequence[Span], evaluation: InpaintingEvaluation, data: Data) -> None:
        self.rate, self.spans, self.prompts = eval_set.sample_rate, spans, eval_set.prompts
        self.context = min(evaluation.span.margin, evaluation.span.seconds / 2)
        self.boundaries = [span.boundaries for span in spans]
        reference_BN = eval_audio(evaluation, data.corpus)[1][evaluation.prompts :]
        self.real = RealSpans(list(reference_BN), self.rate, self.boundaries)
        self.crops = eval_set.on(self._cropped(eval_set.prompt_audio_BN), self._cropped(reference_BN))
        self._similarities = [
            ContextSimilarity(real.evaluator, self.rate) for real in (eval_set.tagger, *eval_set.judges)
        ]

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of the cropped spans (names end in ``_span``), the seam distance, and similarities to the context."""
        cropped = renamed(score(self._cropped(audio_BN), self.crops), "span")
        cropped[2]["span"]["context_seconds"] = self.context
        rank_n = self.real.unusual(list(audio_BN), self.boundaries)
        own = {"seam": self._seam(rank_n), "seam_rank": rank_n}
        own |= {f"context_similarity_{one.name}": one.of(audio_BN, self.spans) for one in self._similarities}
        return joined(cropped, item_scores(own, self.prompts, {}))

    def _seam(self, rank_n: np.ndarray) -> np.ndarray:
        """What each clip contributes to the seam distance, (n,); of two clips, both the distance itself."""
        if len(rank_n) < 3:  # leaving one out would leave no pair
            return np.full(len(rank_n), self.real.distance(rank_n))
        return contributions(lambda index: self.real.distance(rank_n[index]), len(rank_n))

    def _cropped(self, audio_BN: np.ndarray) -> np.ndarray:
        """Every clip from ``context`` before its span to ``context`` after it, (n, M)."""
        inside, side = self.spans[0].samples(self.rate), round(self.context * self.rate)
        length = min(inside.stop - inside.start + 2 * side, audio_BN.shape[1])  # the same for all, whatever is rounded
        begins = [span.samples(self.rate).start - side for span in self.spans]
        begins = [min(max(begin, 0), audio_BN.shape[1] - length) for begin in begins]
        return np.stack([audio_N[begin : begin + length] for audio_N, begin in zip(audio_BN, begins)])


class ContextSimilarity:
    """Cosine between an evaluator's embeddings of a span and of the rest of its clip, whose two parts are joined.

    From the embeddings of all spans of a system their mean is subtracted, and from those of all surroundings theirs:
    what they have in common, such as the sound of a codec, does not say whether a span fits its own clip.

    Attributes:
        name: of the evaluator.
    """

    def __init__(self, evaluator: Evaluator, rate: int) -> None:
        self.name, self._evaluator, self._rate = evaluator.name, evaluator, rate

    def of(self, audio_BN: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
        """Of each clip, (n,), in [-1, 1]; 0 where a span differs from no other, as silence does."""
        parts = [span.samples(self._rate) for span in spans]
        inside = [audio_N[part] for audio_N, part in zip(audio_BN, parts)]
        around = [np.delete(audio_N, part) for audio_N, part in zip(audio_BN, parts)]
        first_BD, other_BD = (_own_part(self._evaluator.embed(clips, self._rate)) for clips in (inside, around))
        return np.asarray((first_BD * other_BD).sum(axis=1))


def _own_part(embeddings_BD: np.ndarray) -> np.ndarray:
    """Rows less their mean, scaled to length 1; zeros where nothing but rounding is left."""
    mean_D = embeddings_BD.mean(axis=0)
    own_BD = embeddings_BD - mean_D
    length_B1 = np.linalg.norm(own_BD, axis=1, keepdims=True)
    return np.where(length_B1 > 1e-6 * np.linalg.norm(mean_D), own_BD / np.maximum(length_B1, 1e-300), 0.0)
