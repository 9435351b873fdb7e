"""Inpainting: fill a span of a real clip, given its caption and the audio on both sides (papers/002, section 5.3).

The protocol is that of the fidelity axis. One span is removed from every prompt's own audio, the same for every system,
and each system returns the clip with the span filled. The scores cover the whole clip, the span alone (metrics whose
names end in ``_span``, against spans of the reference clips), both seams (metrics/seam.py), and how similar the
evaluator finds the span and its surroundings. ``real`` is the ceiling and ``codec_*`` its resynthesis; ``splice``
inserts a piece of another prompt's audio, ``silence`` inserts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ....common.seeds import seed_for
from ...study.axis import Context, UnsupportedError
from ...study.cells import Cell
from ...study.study import Study
from ..fidelity.axis import Fidelity, FidelityGroup

if TYPE_CHECKING:
    import numpy as np

    from ..scoring import Scored
    from .fill import Span

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new
CEILINGS = ("real", "codec_continuous", "codec_quantised")


class Inpainting(Fidelity):
    """The axis; see the module's docstring."""

    default_study = "inpainting"

    def expand(self, study: Study) -> list[Cell]:
        """References first, then every arm for every seed, trained to the end."""
        return expand(study)

    def open(self, cells: Sequence[Cell], context: Context) -> InpaintingGroup:
        """Load data and evaluator; train the arm that the cells measure."""
        return InpaintingGroup(cells, context)


def expand(study: Study) -> list[Cell]:
    """The cells of an inpainting study.

    Raises:
        UserError: a span that does not fit the clips; and what the fidelity axis raises.
    """
    from ....paradigms.pipeline import Sources, identity, load_data
    from ..fidelity.cells import evaluation_of, reference_cell, trained_cells
    from .fill import drawn_spans

    data = load_data(Sources(study.corpus, study.representation, study.text, study.latents), latents=False)
    latent, seconds, train = data.representation.spec, study.train.seconds, study.train
    evaluation, how = evaluation_of(study, data)
    hidden, margin = study.inpainting.seconds, study.inpainting.margin
    span = {
        "seconds": train.hidden * seconds if hidden is None else hidden,
        "margin": train.margin * seconds if margin is None else margin,
    }
    drawn_spans(["any"], seconds, span["seconds"], span["margin"], latent, f"study {study.name}: inpainting")
    shared = {
        "axis": "inpainting",
        "version": VERSION,
        "data": identity(data),
        "evaluation": {**evaluation, "span": span},
    }
    known = [*CEILINGS, *EDITS]
    cells = [reference_cell("inpainting", name, known, shared, how) for name in study.evaluation.references]
    return cells + trained_cells("inpainting", study, data, shared, how, {"": {}})


def splice(audio_BN: np.ndarray, spans: Sequence[Span], sample_rate: int, seed: int) -> np.ndarray:
    """Another prompt's audio in the span, without a fade: the floor for seams and similarity."""
    from ...study.references import another

    edited_BN = audio_BN.copy()
    for row, (other, span) in enumerate(zip(another(len(audio_BN), seed), spans)):
        edited_BN[row, span.samples(sample_rate)] = audio_BN[other, span.samples(sample_rate)]
    return edited_BN


def silence(audio_BN: np.ndarray, spans: Sequence[Span], sample_rate: int, seed: int) -> np.ndarray:
    """Nothing in the span."""
    edited_BN = audio_BN.copy()
    for row, span in enumerate(spans):
        edited_BN[row, span.samples(sample_rate)] = 0.0
    return edited_BN


EDITS: dict[str, Callable[..., np.ndarray]] = {f.__name__: f for f in (splice, silence)}


def _check_fills(name: str) -> None:
    from .... import paradigms

    if not paradigms.find(name).inpaints:
        raise UnsupportedError(f"paradigm {name!r} cannot inpaint")


class InpaintingGroup(FidelityGroup):
    """One trained arm, or all references."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        from .fill import drawn_spans
        from .scoring import SpanEvalSet

        if cells[0].kind == "paradigm":  # checked before training, which would be wasted
            _check_fills(cells[0].config["model"]["paradigm"])
        super().__init__(cells, context)
        evaluation = cells[0].config["evaluation"]
        latent, span = self.data.representation.spec, evaluation["span"]
        names = [clip.id for clip in self.eval_set.prompts]
        self.spans = drawn_spans(names, evaluation["seconds"], span["seconds"], span["margin"], latent, "inpainting")
        self.span_exam = SpanEvalSet(self.eval_set, self.spans, evaluation, self.data)

    def reference(self, cell: Cell) -> tuple[np.ndarray, dict[str, float]]:
        """The clips of a floor or ceiling, and no timing."""
        edit = EDITS.get(cell.config["reference"])
        if edit is None:
            return super().reference(cell)
        return edit(self.eval_set.prompt_audio_BN, self.spans, self.eval_set.sample_rate, cell.seed), {}

    def generate(self, cell: Cell) -> tuple[np.ndarray, dict[str, float]]:
        """Every prompt's own clip with its span filled by the model, given the caption and no temporal control."""
        from ....training.trained import noise_of
        from .fill import inpaint

        model, prompts = self.model(cell), self.eval_set.prompts
        made = inpaint(
            model, self.data.representation, self.data.text, [clip.caption for clip in prompts],
            [seed_for(cell.seed, clip.id, 0) for clip in prompts], model.sampler(cell.config["sampler"]),
            self.eval_set.prompt_audio_BN, self.spans, cell.how["batch"], noise_of(cell.config),
        )  # fmt: skip
        return made.audio_BN, made.timing

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of the whole, of the span alone, of the seams and of span and surroundings."""
        from ..scoring import joined, score

        return joined(score(audio_BN, self.eval_set), self.span_exam.score(audio_BN))

    def beside(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Where the spans of the clips that are kept lie, in seconds."""
        from ....common.files import write_json

        prompts = self.kept(cell)
        if not prompts:
            return {}
        name = f"spans/{cell.id}.json"
        write_json(self.context.results / name, {p: span.boundaries for p, span in zip(prompts, self.spans)})
        return {"spans": name}
