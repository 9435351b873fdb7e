"""The plan of a study that trains: what each training run and its measurements will take.

Time of training: operations of all updates over the rate at which the device trains. Time of measuring: sampling of all
prompts, at the bound of ``Paradigm.cost`` in float32, the default of ``bench run``, over the share of that bound which
sampling reaches. Scoring, decoding, encoding the corpus, loading and queueing are left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .... import paradigms
from ....backbones.config import preset
from ....backbones.cost import bound_seconds
from ....common.config import config_hash, to_dict
from ....common.errors import UserError
from ....common.lines import count
from ....representations import load_representation
from ....representations.shapes import BUILTIN_LATENT, OOBLECK_LATENT, TEXT_WIDTH, encodec_latent
from ....representations.text.encoders import TextSpec, builtin_text
from ....training.budget import flops_per_update, resolve
from ...study.arms import model_config
from ...study.axis import TrainingAxis, TrainingPoint, find_axis
from ...study.cells import CellConfig, read_config
from ...study.sweep import points
from ...study.tuning import arm_train
from .sizes import (
    Disk,
    ModelInputs,
    latents_disk,
    measuring_disk,
    meta_model,
    parameter_count,
    training_bytes,
    training_disk,
)

if TYPE_CHECKING:
    from ....paradigms.base import Paradigm
    from ....representations.spec import LatentSpec
    from ....training import TrainSpec
    from ...study.study import ArmChoice, Study
    from .devices import Device

CAPTIONS = 256  # the longest of so many decides the padding


@dataclass(frozen=True)
class PlannedRun:
    """A training run with its measurements.

    Attributes:
        setting: the swept settings, e.g. ``batch 8``.
        updates: None where wall time ends the training; the most it may take where the validation loss ends it.
        tokens: latent frames that are trained on.
        training_seconds, measuring_seconds: of one device.
        memory_bytes: of each device, at the peak.
        accumulate: micro-batches per update.
    """

    arm: str
    setting: str
    seed: int
    paradigm: str
    parameters: int
    updates: int | None
    tokens: float
    flops: float
    training_seconds: float
    measuring_seconds: float
    memory_bytes: float
    accumulate: int
    disk: Disk


@dataclass(frozen=True)
class StudyPlan:
    """A whole study: its runs, the disk space that they share, and the assumptions."""

    runs: list[PlannedRun]
    shared: Disk
    assumptions: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Training and measuring, on one device."""
        return sum(run.training_seconds + run.measuring_seconds for run in self.runs)

    @property
    def disk(self) -> Disk:
        """Disk space of everything, as if all checkpoints were there at once."""
        return sum((run.disk for run in self.runs), self.shared)


@dataclass(frozen=True)
class _Model:
    """An arm's model at one point of the study."""

    arm: ArmChoice
    model: Paradigm
    spec: TrainSpec
    update: float  # operations
    point: TrainingPoint
    inputs: ModelInputs

    @property
    def frames(self) -> int:
        """Latent frames of a training clip."""
        return self.inputs.latent.frames(self.spec.seconds)


def make_plan(study: Study, device: Device, gpus: int = 1, hours: float | None = None) -> StudyPlan:
    """Plan ``study``.

    Args:
        gpus: number of devices that share each training run.
        hours: of training audio; None: as the study says.

    Raises:
        UserError: a study that trains nothing, or whose latents are not known without its weights.
    """
    inputs: dict[str, ModelInputs] = {}
    runs: dict[str, PlannedRun] = {}
    seen: set[str] = set()
    for point, setting in training_points(study):
        name = point.study.representation
        if name not in inputs:
            inputs[name] = model_inputs(point.study, hours)
        for arm, seed in ((arm, seed) for seed in study.seeds for arm in study.arms):
            made, run_key = _model(arm, seed, point, inputs[name])
            if run_key not in runs:
                runs[run_key] = _training(made, setting, device, gpus)
            cell_key = config_hash([run_key, arm.sampler])
            if cell_key not in seen:  # arms that differ in their samplers share a training run
                seen.add(cell_key)
                runs[run_key] = _with_measuring(runs[run_key], made, device)
    shared = sum((latents_disk(about.latent, about.corpus_seconds) for about in inputs.values()), Disk())
    latents = [_about_latents(about) for about in inputs.values()]
    return StudyPlan(list(runs.values()), shared, latents + _assumptions(study, inputs[name], device))


def training_points(study: Study) -> Iterator[tuple[TrainingPoint, str]]:
    """Where ``study`` trains its arms: the axis' points at every point of the sweep, each with its name."""
    axis = find_axis(study.axis)
    if not isinstance(axis, TrainingAxis):
        raise UserError(f"study {study.name!r} trains nothing; for its time see `bench run STUDY --dry-run`")
    for point, values in points(study):
        swept = [f"{key.rpartition('.')[2]} {value}" for key, value in values.items()]
        for at in axis.training_points(point):
            yield at, " ".join([*swept, *([f"at {at.label}"] if at.label else [])])


def model_inputs(study: Study, hours: float | None = None) -> ModelInputs:
    """Latents and text of ``study``, where possible without loading weights.

    Raises:
        UserError: an unknown representation.
    """
    clips, seconds = study.corpus.clips or 4000, study.corpus.seconds or 4.0
    corpus_seconds = clips * seconds if hours is None else 3600 * hours
    if study.text != "builtin":
        tokens = study.section("latency").text_tokens
        return ModelInputs(_latent(study), TextSpec("embeddings", TEXT_WIDTH, (), tokens), tokens, corpus_seconds)
    captions = [clip.caption for clip in study.corpus.load().clips("train")]
    encoder = builtin_text(captions)
    longest = encoder.encode(captions[:CAPTIONS])[1].shape[1]
    return ModelInputs(_latent(study), encoder.spec, longest, corpus_seconds)


def _latent(study: Study) -> LatentSpec:
    """The shape of the study's latents; EnCodec has the shape that is published for the frame rate."""
    name, frame_rate = study.representation, study.section("latency").frame_rate
    if name == "codec_builtin":
        return BUILTIN_LATENT
    if name.startswith("encodec"):
        return encodec_latent(frame_rate)
    if name.startswith("codec_trained:"):
        return BUILTIN_LATENT.replace(name=name, frame_rate_hz=frame_rate)
    return OOBLECK_LATENT if name.startswith("oobleck") else load_representation(name).spec


def backbone_width(study: Study) -> int:
    """Width of the study's backbone."""
    return int({**to_dict(preset(study.backbone.preset)), **study.backbone.overrides}["d_model"])


def _model(arm: ArmChoice, seed: int, point: TrainingPoint, inputs: ModelInputs) -> tuple[_Model, str]:
    """An arm's model, and a hash of what its weights depend on."""
    study = point.study
    config = model_config(arm, study, inputs.latent)
    cell = read_config({"axis": study.axis, "model": config}, CellConfig)
    assert cell.model is not None
    model = meta_model(cell.model, inputs)
    spec = dataclasses.replace(arm_train(arm.train, study.train, arm.name), seed=seed)
    update = flops_per_update(model, spec, inputs.text_tokens)
    spec = resolve(spec, inputs.latent.frames(spec.seconds), update)
    return _Model(arm, model, spec, update, point, inputs), config_hash([config, to_dict(spec), study.representation])


def _training(made: _Model, setting: str, device: Device, gpus: int) -> PlannedRun:
    spec, parameters = made.spec, parameter_count(made.model)
    rate = device.training_rate(made.arm.paradigm, spec.precision)
    seconds = spec.budget.amount if spec.budget.by_clock else spec.updates * made.update / rate
    updates = seconds * rate / made.update if spec.budget.by_clock else spec.updates
    fitting, memory = _fitting(made, gpus, device.memory_bytes)
    return PlannedRun(
        arm=made.arm.name,
        setting=setting,
        seed=spec.seed,
        paradigm=made.arm.paradigm,
        parameters=parameters,
        updates=None if spec.budget.by_clock else spec.updates,
        tokens=updates * spec.batch * made.frames,
        flops=updates * made.update,
        training_seconds=seconds,
        measuring_seconds=0.0,
        memory_bytes=memory,
        accumulate=fitting.accumulate,
        disk=training_disk(parameters, len(spec.snapshots)),
    )


def _fitting(made: _Model, gpus: int, memory_bytes: float | None) -> tuple[TrainSpec, float]:
    """The training in as many micro-batches as let it fit, doubled each time, and its memory; at most one clip each."""

    def needed(spec: TrainSpec) -> float:
        return training_bytes(made.model, spec, made.frames, made.inputs.text_tokens, gpus)

    spec = made.spec
    while memory_bytes is not None and needed(spec) > memory_bytes and 2 * spec.accumulate * gpus <= spec.batch:
        spec = dataclasses.replace(spec, accumulate=2 * spec.accumulate)
    return spec, needed(spec)


def _with_measuring(run: PlannedRun, made: _Model, device: Device) -> PlannedRun:
    """``run`` and the cells that are measured of it with the sampler of one arm."""
    evaluation, arm, cells = made.point.study.evaluation, made.arm, made.point.cells
    seconds, latent = made.point.study.train.seconds, made.inputs.latent
    sampler = made.model.sampler(arm.sampler)
    batches = -(-evaluation.prompts // evaluation.batch)
    phases = made.model.cost(evaluation.batch, latent.frames(seconds), sampler, made.inputs.text_tokens)
    bound = bound_seconds(phases, device.peak("fp32"), device.copy_bytes_per_s)
    sampling = cells * batches * bound / device.sampling_share(arm.paradigm)
    disk = measuring_disk(cells, evaluation.prompts, evaluation.keep_audio, seconds, latent.sample_rate)
    return dataclasses.replace(run, measuring_seconds=run.measuring_seconds + sampling, disk=run.disk + disk)


def _about_latents(inputs: ModelInputs) -> str:
    latent = inputs.latent
    return (
        f"Latents: {latent.name}, {latent.frame_rate_hz:g} Hz, {count(latent.dim, 'channel')}, "
        f"{count(latent.codebooks, 'codebook')} of {latent.cardinality}. "
        f"Captions padded to {count(inputs.text_tokens, 'token')}; a frozen text encoder runs beforehand."
    )


def _assumptions(study: Study, inputs: ModelInputs, device: Device) -> list[str]:
    precision = study.train.precision
    used = dict.fromkeys(arm.paradigm for arm in study.arms)
    known = [f"{name} {_rate(device.trains_at[name])}" for name in used if name in device.trains_at]
    shares = [f"{name} {device.sampling_share(name):.0%}" for name in used]
    unsure = [name for name in used if name not in device.samples_at]
    lines = [
        f"Training audio: {inputs.corpus_seconds / 3600:,.1f} h (--hours to change it).",
        f"Device: {device.name}, {_rate(device.peak('bf16'))} in bf16, {_rate(device.peak('fp32'))} in fp32, "
        f"{device.copy_bytes_per_s / 1e9:,.4g} GB/s ({device.source}).",
        "Operations of training: three forward passes (backward counts twice), expectations over mask ratios, all of a "
        "causal square; within 3% of torch's own counter (tests/unit/training/test_budget.py).",
    ]
    if study.train.budget.by_convergence:
        lines.append(
            f"Every arm is counted at the most it may take, {count(study.train.updates, 'update')}; it may stop before."
        )
    if known:
        lines.append(f"Training reaches what records reached: {', '.join(known)}.")
    if len(known) < len(used):
        basis = "" if device.trains_at else ", assumed: no record confirms it"
        peak = _rate(device.mfu * device.peak(precision))
        lines.append(f"Training otherwise reaches {device.mfu:.0%} of the peak in {precision}: {peak}{basis}.")
    doubt = f" (assumed, without a record: {', '.join(unsure)})" if unsure else ""
    lines.append(
        f"Assumed sampling speed in float32, as a share of the hardware bound: {', '.join(shares)}{doubt}; "
        "scoring and decoding are left out."
    )
    samplers = [paradigms.find(arm.paradigm).sampler(arm.sampler) for arm in study.arms]
    if any(getattr(sampler, "solver", "") == "dopri5" for sampler in samplers):
        lines.append("dopri5 is counted at the fewest evaluations it can take; it will take many times more.")
    lines.append(
        "Memory: 20 bytes per parameter (weights, gradients, two moments, average), 2 more in bf16, and what the "
        "forward pass keeps of one micro-batch (benchmarks/run/estimate/sizes.py); the allocator's waste is left out."
    )
    return lines


def _rate(flops_per_s: float) -> str:
    return f"{flops_per_s / 1e12:,.4g} TFLOP/s" if flops_per_s >= 1e12 else f"{flops_per_s / 1e9:,.4g} GFLOP/s"


def hand_check(run: PlannedRun) -> float:
    """6 N D over the operations counted: parameters times tokens, as Kaplan et al. (2020) estimate training."""
    return 6 * run.parameters * run.tokens / run.flops if run.flops else math.nan
