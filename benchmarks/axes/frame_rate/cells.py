"""A frame-rate study as cells: at every point the floors and ceilings, and every arm trained to the end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ....common.errors import UserError
from ....common.lines import count
from ....representations import load_representation
from ....training.sources import Data, Sources, identity, load_data
from ...study.cells import Cell, CellConfig, EvaluationConfig
from ...study.study import Study
from ..eval_set import eligible
from ..fidelity.cells import evaluation_of, reference_cells, trained_cells
from .settings import FrameRatePoint, points_of, window_of

VERSION = 2  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


@dataclass(frozen=True)
class FrameRateSetting:
    """The point of a cell: latent frames per second, frames in a clip, and seconds of a clip."""

    hz: float = 0.0
    frames: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class WindowEvaluation(EvaluationConfig):
    """How clips are scored.

    Attributes:
        seconds: of the crop that is a clip at this point.
        whole: of the clip that the crop is taken from, which is the longest at any point.
        window: of the part of the crop that is scored at all points alike.
    """

    whole: float = 0.0
    window: float = 0.0


@dataclass(frozen=True)
class FrameRateConfig(CellConfig):
    """The config of a cell of the axis frame_rate."""

    evaluation: WindowEvaluation = WindowEvaluation()
    frame_rate: FrameRateSetting = FrameRateSetting()


def expand(study: Study) -> list[Cell]:
    """The cells of a frame-rate study, by seed, so that a run that is cut short has measured every point.

    Raises:
        UserError: a point that the corpus or a representation does not fit; and what the fidelity axis raises.
    """
    points = points_of(study)
    window, longest = window_of(study, points), max(points, key=lambda point: point.seconds)
    data = _data_by_rate(study, points)
    _check_frames(study, points, data)
    _check_length(study, longest, data[longest.rate])
    evaluation, how = evaluation_of(longest.study, data[longest.rate], coded=False)
    evaluation |= {"whole": longest.seconds, "window": window}
    cells = [cell for point in points for cell in _cells(point, data[point.rate], evaluation, how)]
    return sorted(cells, key=lambda cell: (cell.kind == "paradigm", cell.seed))


def _cells(point: FrameRatePoint, data: Data, evaluation: dict[str, Any], how: dict[str, Any]) -> list[Cell]:
    study = point.study
    shared = {
        "axis": "frame_rate",
        "version": VERSION,
        "data": identity(data),
        "evaluation": {**evaluation, "seconds": point.seconds},
        "frame_rate": point.setting,
    }
    how = {**how, "sources": {**how["sources"], "representation": study.representation}}
    cells = reference_cells(study, data, shared, how)
    cells = [dataclasses.replace(cell, group=f"references at {point.label}", label=point.label) for cell in cells]
    return cells + trained_cells(study, data, shared, how, {point.label: {}})


def _data_by_rate(study: Study, points: list[FrameRatePoint]) -> dict[float, Data]:
    """Frame rate -> data with the representation that has it; the corpus is loaded once.

    Raises:
        UserError: a representation of another rate than its point's, or of another sample rate than the others'.
    """
    found: dict[float, Data] = {}
    for rate, spec in {point.rate: point.study.representation for point in points}.items():
        sources = Sources(study.corpus, spec, study.text, study.latents)
        if found:
            first = next(iter(found.values()))
            found[rate] = dataclasses.replace(first, sources=sources, representation=load_representation(spec))
        else:
            found[rate] = load_data(sources, latents=False)
        latent = found[rate].representation.spec
        if abs(latent.frame_rate_hz - rate) > 1e-6:
            raise UserError(
                f"{study.name}: representation {spec!r} has {latent.frame_rate_hz:g} frames per second, not {rate:g}; "
                "choose another one, or put its rate in frame_rate.rates"
            )
    sample_rates = {data.representation.spec.sample_rate: data.sources.representation for data in found.values()}
    if len(sample_rates) > 1:
        named = " and ".join(f"{spec!r} ({rate} Hz)" for rate, spec in sample_rates.items())
        raise UserError(
            f"{study.name}: {named} differ in sample rate, which changes the scores; use codecs of one rate"
        )
    return found


def _check_frames(study: Study, points: list[FrameRatePoint], data: dict[float, Data]) -> None:
    for point in points:
        frames = data[point.rate].representation.spec.frames(point.seconds)
        if frames != point.frames:
            raise UserError(
                f"{study.name}: {point.seconds:g} s are {count(frames, 'frame')} of "
                f"{point.study.representation!r}, not {point.frames}; "
                "choose frame_rate.seconds and frame_rate.frames to match it"
            )


def _check_length(study: Study, longest: FrameRatePoint, data: Data) -> None:
    fit = len(eligible(data.corpus, study.evaluation.split, longest.seconds))
    if fit < 4:
        raise UserError(
            f"{study.name}: {count(longest.frames, 'frame')} at {longest.rate:g} Hz last {longest.seconds:g} s, and "
            f"{count(fit, f'{study.evaluation.split} clip')} of {data.corpus.name} are that long; "
            "lower frame_rate.frames or .seconds, or take longer clips"
        )
