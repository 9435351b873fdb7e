"""Does the frame rate of the latents matter by itself, or by the length of the sequence? (papers/002, figure 4)

The protocol is that of the fidelity axis, at every point of ``frame_rate_points``: one codec per rate, arms trained on
its latents in crops of the point's duration, with equal updates and clips per update. Every point has the same prompts
and its own ceilings, since a codec of another rate sounds different. Judged are the whole clips, whose scores compare
between points of one duration, and one window of each, whose scores (``_window``) compare everywhere (windows.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....common.errors import UserError
from ....common.lines import count
from ...study.axis import Context
from ...study.cells import Cell
from ...study.study import Study
from ..fidelity.axis import Fidelity, FidelityGroup, data_of

if TYPE_CHECKING:
    import numpy as np

    from ....paradigms.pipeline import Data
    from ..eval_set import EvalSet
    from ..scoring import Scored
    from .points import Point

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


class FrameRate(Fidelity):
    """The axis; see the module's docstring."""

    default_study = "frame_rate"

    def expand(self, study: Study) -> list[Cell]:
        """References of all points, then every arm, trained to the end, at all points for each seed."""
        return expand(study)

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Encode the training clips by each codec; evaluator and codecs were made when the study was expanded."""
        trained = {cell.how["sources"]["representation"]: cell for cell in cells if cell.kind == "paradigm"}
        for cell in trained.values():
            data_of(cell)

    def open(self, cells: Sequence[Cell], context: Context) -> FrameRateGroup:
        """Load data and evaluator; train the arm that the cells measure."""
        return FrameRateGroup(cells, context)


def expand(study: Study) -> list[Cell]:
    """The cells of a frame-rate study.

    Raises:
        UserError: a point that the corpus or a representation does not fit; and what the fidelity axis raises.
    """
    from ..fidelity.cells import evaluation_of
    from .points import points_of, window_of

    found = points_of(study)
    window, longest = window_of(study, found), max(found, key=lambda point: point.seconds)
    held = _data(study, found)
    _check_frames(study, found, held)
    _check_length(study, longest, held[longest.rate])
    evaluation, how = evaluation_of(longest.study, held[longest.rate], coded=False)
    judged = {**evaluation, "whole": longest.seconds, "window": window}
    cells = [cell for point in found for cell in _cells(point, held[point.rate], judged, how)]
    return sorted(cells, key=lambda cell: (cell.kind == "paradigm", cell.seed))  # so a run cut short has every point


def _cells(point: Point, data: Data, judged: dict[str, Any], how: dict[str, Any]) -> list[Cell]:
    from ....paradigms.pipeline import identity
    from ...study.references import REFERENCES
    from ..fidelity.cells import reference_cell, trained_cells

    study, evaluation = point.study, {**judged, "seconds": point.seconds}
    shared = {
        "axis": "frame_rate", "version": VERSION, "data": identity(data), "evaluation": evaluation,
        "frame_rate": point.setting,
    }  # fmt: skip
    how = {**how, "sources": {**how["sources"], "representation": study.representation}}
    cells = [reference_cell("frame_rate", name, REFERENCES, shared, how) for name in study.evaluation.references]
    cells = [dataclasses.replace(cell, group=f"references at {point.label}", label=point.label) for cell in cells]
    return cells + trained_cells("frame_rate", study, data, shared, how, {point.label: {}})


def _data(study: Study, found: list[Point]) -> dict[float, Data]:
    """Rate -> the corpus seen through the representation that has it; one corpus, opened once.

    Raises:
        UserError: a representation of another rate than its point's, or of another sample rate than the others'.
    """
    from ....paradigms.pipeline import Sources, load_data
    from ....representations import load_representation

    held: dict[float, Data] = {}
    for rate, spec in {point.rate: point.study.representation for point in found}.items():
        sources = Sources(study.corpus, spec, study.text, study.latents)
        if held:
            first = next(iter(held.values()))
            held[rate] = dataclasses.replace(first, sources=sources, representation=load_representation(spec))
        else:
            held[rate] = load_data(sources, latents=False)
        latent = held[rate].representation.spec
        if abs(latent.frame_rate_hz - rate) > 1e-6:
            raise UserError(
                f"{study.name}: representation {spec!r} has {latent.frame_rate_hz:g} frames per second, not {rate:g}; "
                "choose another one, or put its rate in frame_rate.rates"
            )
    heard_at = {data.representation.spec.sample_rate: data.sources.representation for data in held.values()}
    if len(heard_at) > 1:
        told = " and ".join(f"{spec!r} ({rate} Hz)" for rate, spec in heard_at.items())
        raise UserError(f"{study.name}: {told} differ in sample rate, which changes the scores; use codecs of one rate")
    return held


def _check_frames(study: Study, found: list[Point], held: dict[float, Data]) -> None:
    for point in found:
        frames = held[point.rate].representation.spec.frames(point.seconds)
        if frames != point.frames:
            raise UserError(
                f"{study.name}: {point.seconds:g} s are {count(frames, 'frame')} of "
                f"{point.study.representation!r}, not {point.frames}; "
                "choose frame_rate.seconds and frame_rate.frames to match it"
            )


def _check_length(study: Study, longest: Point, data: Data) -> None:
    from ..eval_set import eligible

    fit = len(eligible(data.corpus, study.evaluation.split, longest.seconds))
    if fit < 4:
        raise UserError(
            f"{study.name}: {count(longest.frames, 'frame')} at {longest.rate:g} Hz last {longest.seconds:g} s, and "
            f"{count(fit, f'{study.evaluation.split} clip')} of {data.corpus.name} are that long; "
            "lower frame_rate.frames or .seconds, or take longer clips"
        )


class FrameRateGroup(FidelityGroup):
    """One arm trained at one point, or that point's references."""

    def examination(self, cell: Cell) -> EvalSet:
        """Crops of the point's duration, and beside them their windows."""
        from ..windows import WindowEvalSet

        self.windowed = WindowEvalSet(cell.config["evaluation"], cell.how["evaluator"], self.data)
        return self.windowed.crops

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of whole clips and of windows."""
        return self.windowed.score(audio_BN)
