"""A study gone through on paper: what each training run and its measurements will take.

Time of training: operations of all updates over the rate at which the device trains. Time of measuring: sampling of all
prompts, at the bound of ``Paradigm.cost`` (in float32, as ``bench run`` samples) over the share of it that sampling
reaches. Not in it: scoring, decoding, encoding the corpus, loading, and waiting in a queue.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .... import paradigms
from ....backbones.config import preset
from ....backbones.cost import bound_seconds
from ....common.config import config_hash, to_dict
from ....common.errors import UserError
from ....common.lines import count
from ....representations.base import LatentSpec
from ....representations.text.encoders import TextSpec, builtin_text
from ....training.budget import flops_per_update, resolve
from ...axes.fidelity.cells import model_config
from ...axes.frame_rate.points import points_of
from ...axes.latency.cells import BUILTIN_LATENT, TEXT_WIDTH, latent_of
from ...study.sweep import points
from .paper import Sight, on_paper
from .sizes import Disk, latents_disk, measuring_disk, training_bytes, training_disk

if TYPE_CHECKING:
    from ....paradigms.base import Paradigm
    from ....training import TrainSpec
    from ...study.study import ArmChoice, Study
    from .devices import Device

TRAINED = ("fidelity", "control", "inpainting", "frame_rate")
CAPTIONS = 256  # of which the longest counts
OOBLECK = LatentSpec("oobleck", 44100, 44100 / 2048, 64)


@dataclass(frozen=True)
class Run:
    """One training run with its measurements: seconds of the device, bytes of its memory, bytes on disk."""

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
class Plan:
    """A whole study: its runs, what they share on disk, and what all that rests on."""

    runs: list[Run]
    shared: Disk
    assumptions: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of training and measuring, on one device."""
        return sum(run.training_seconds + run.measuring_seconds for run in self.runs)

    @property
    def disk(self) -> Disk:
        """Of everything, as if all checkpoints were there at once."""
        return sum((run.disk for run in self.runs), self.shared)


def make_plan(study: Study, device: Device, gpus: int = 1, hours: float | None = None) -> Plan:
    """Go through ``study``.

    Args:
        gpus: that share each training run.
        hours: of training audio; None: as the study says.

    Raises:
        UserError: a study that trains nothing, or whose latents are not known without its weights.
    """
    if study.axis not in TRAINED:
        raise UserError(f"study {study.name!r} trains nothing; for its time see `bench run {study.name} --dry-run`")
    sights: dict[str, Sight] = {}
    found: dict[str, Run] = {}
    seen: set[str] = set()
    for point, values in _points(study):
        sight = sights.setdefault(point.representation, see(point, hours))
        setting = " ".join(f"{key.rpartition('.')[2]} {value}" for key, value in values.items())
        for arm, seed in ((arm, seed) for seed in study.seeds for arm in study.arms):
            config = model_config(arm, point, sight.latent)
            model = on_paper(config, sight)
            spec = dataclasses.replace(point.train, seed=seed)
            price = flops_per_update(model, spec, sight.text_tokens)
            spec = resolve(spec, sight.latent.frames(spec.seconds), price)
            key = config_hash([config, to_dict(spec), point.representation])
            cell = config_hash([key, arm.sampler])
            if key not in found:
                found[key] = _training(arm, seed, setting, model, spec, price, device, gpus, sight)
            if cell not in seen:  # arms that differ in their samplers share a training run
                seen.add(cell)
                found[key] = _with_measuring(found[key], arm, point, model, device, sight)
    shared = sum((latents_disk(sight.latent, sight.corpus_seconds) for sight in sights.values()), Disk())
    said = [_latents(sight) for sight in sights.values()] + _assumptions(study, sight, device)
    return Plan(list(found.values()), shared, said)


def _points(study: Study) -> Iterator[tuple[Study, dict[str, Any]]]:
    """The study at every point of its sweep and, where frame rates are measured, of those."""
    for point, values in points(study):
        if study.axis == "frame_rate":
            yield from ((at.study, {**values, "at": at.label}) for at in points_of(point))
        else:
            yield point, values


def see(study: Study, hours: float | None = None) -> Sight:
    """Latents and text of ``study`` without loading weights; the built-in codec's are known, EnCodec's are its paper's.

    Raises:
        UserError: a representation whose shapes are not known.
    """
    name = study.representation
    if name == "codec_builtin":
        latent = BUILTIN_LATENT
    elif name.startswith("encodec"):
        latent = latent_of("400m", study.latency.frame_rate)
    elif name.startswith("codec_trained:"):
        latent = BUILTIN_LATENT.replace(name=name, frame_rate_hz=study.latency.frame_rate)
    elif name.startswith("oobleck"):
        latent = OOBLECK
    else:
        from ....representations import load_representation

        latent = load_representation(name).spec
    clips, seconds = study.corpus.clips or 4000, study.corpus.seconds or 4.0
    corpus_seconds = clips * seconds if hours is None else 3600 * hours
    if study.text != "builtin":
        text = TextSpec("embeddings", TEXT_WIDTH, (), study.latency.text_tokens)
        return Sight(latent, text, study.latency.text_tokens, corpus_seconds)
    from ....paradigms.pipeline import open_corpus

    captions = [clip.caption for clip in open_corpus(study.corpus).clips("train")]
    encoder = builtin_text(captions)
    return Sight(latent, encoder.spec, encoder.encode(captions[:CAPTIONS])[1].shape[1], corpus_seconds)


def width_of(study: Study) -> int:
    """Of the backbone."""
    return int({**to_dict(preset(study.backbone.preset)), **study.backbone.overrides}["d_model"])


def _training(
    arm: ArmChoice, seed: int, setting: str, model: Paradigm, spec: TrainSpec, price: float, device: Device, gpus: int,
    sight: Sight,
) -> Run:  # fmt: skip
    parameters, frames = sum(p.numel() for p in model.parameters()), sight.latent.frames(spec.seconds)
    rate = device.training_rate(arm.paradigm, spec.precision)
    seconds = spec.budget.amount if spec.budget.by_clock else spec.updates * price / rate
    updates = seconds * rate / price if spec.budget.by_clock else spec.updates
    fitting = _fitting(model, spec, frames, sight.text_tokens, gpus, device.memory_bytes)
    return Run(
        arm.name, setting, seed, arm.paradigm, parameters, None if spec.budget.by_clock else spec.updates,
        updates * spec.batch * frames, updates * price, seconds, 0.0,
        training_bytes(model, fitting, frames, sight.text_tokens, gpus), fitting.accumulate,
        training_disk(parameters, len(spec.snapshots)),
    )  # fmt: skip


def _fitting(
    model: Paradigm, spec: TrainSpec, frames: int, text_tokens: int, gpus: int, memory_bytes: float | None
) -> TrainSpec:
    """``spec`` in as many micro-batches as let it fit, doubled each time; as many as there can be if none do."""
    while memory_bytes is not None and training_bytes(model, spec, frames, text_tokens, gpus) > memory_bytes:
        if 2 * spec.accumulate * gpus > spec.batch:
            break
        spec = dataclasses.replace(spec, accumulate=2 * spec.accumulate)
    return spec


def _with_measuring(run: Run, arm: ArmChoice, study: Study, model: Paradigm, device: Device, sight: Sight) -> Run:
    eval_set, seconds = study.evaluation, study.train.seconds
    cells = sum(1 for _ in _cells(study))
    sampler = model.sampler(arm.sampler)
    batches = -(-eval_set.prompts // eval_set.batch)
    phases = model.cost(eval_set.batch, sight.latent.frames(seconds), sampler, sight.text_tokens)
    bound = bound_seconds(phases, device.peak("fp32"), device.copy_bytes_per_s)
    took = cells * batches * bound / device.sampling_share(arm.paradigm)
    disk = measuring_disk(cells, eval_set.prompts, eval_set.keep_audio, seconds, sight.latent.sample_rate)
    return dataclasses.replace(run, measuring_seconds=run.measuring_seconds + took, disk=run.disk + disk)


def _cells(study: Study) -> Iterator[Any]:
    """What is measured of one training run and sampler."""
    if study.axis == "control":
        from ...axes.control.axis import scenarios

        return iter(scenarios(study))
    return iter((*study.train.snapshots, None) if study.axis == "fidelity" else (None,))


def _latents(sight: Sight) -> str:
    latent = sight.latent
    return (
        f"Latents: {latent.name}, {latent.frame_rate_hz:g} Hz, {count(latent.dim, 'channel')}, "
        f"{count(latent.codebooks, 'codebook')} of {latent.cardinality}. "
        f"Captions padded to {count(sight.text_tokens, 'token')}; a frozen text encoder runs beforehand."
    )


def _assumptions(study: Study, sight: Sight, device: Device) -> list[str]:
    """In words, what the figures rest on."""
    precision = study.train.precision
    used = dict.fromkeys(arm.paradigm for arm in study.arms)
    known = [f"{name} {_rate(device.trains_at[name])}" for name in used if name in device.trains_at]
    shares = [f"{name} {device.sampling_share(name):.0%}" for name in used]
    unsure = [name for name in used if name not in device.samples_at]
    said = [
        f"Training audio: {sight.corpus_seconds / 3600:,.1f} h (--hours to change it).",
        f"Device: {device.name}, {_rate(device.peak('bf16'))} in bf16, {_rate(device.peak('fp32'))} in fp32, "
        f"{device.copy_bytes_per_s / 1e9:,.4g} GB/s ({device.source}).",
        "Operations of training: three forward passes (backward counts twice), expectations over mask ratios, all of a "
        "causal square; within 3% of torch's own counter (tests/unit/training/test_budget.py).",
    ]
    if known:
        said.append(f"Training reaches what records reached: {', '.join(known)}.")
    if len(known) < len(used):
        peak, basis = (
            device.mfu * device.peak(precision),
            "" if device.trains_at else ", assumed: no record confirms it",
        )
        said.append(f"Training otherwise reaches {device.mfu:.0%} of the peak in {precision}: {_rate(peak)}{basis}.")
    doubt = f" (assumed, without a record: {', '.join(unsure)})" if unsure else ""
    said.append(
        f"Assumed sampling speed in float32, as a share of the hardware bound: {', '.join(shares)}{doubt}; "
        "scoring and decoding are left out."
    )
    if any(model_solver(arm) == "dopri5" for arm in study.arms):
        said.append("dopri5 is counted at the fewest evaluations it can take; it will take many times more.")
    said.append(
        "Memory: 20 bytes per parameter (weights, gradients, two moments, average), 2 more in bf16, and what the "
        "forward pass keeps of one micro-batch (benchmarks/run/estimate/sizes.py); the allocator's waste is left out."
    )
    return said


def _rate(flops_per_s: float) -> str:
    return f"{flops_per_s / 1e12:,.4g} TFLOP/s" if flops_per_s >= 1e12 else f"{flops_per_s / 1e9:,.4g} GFLOP/s"


def model_solver(arm: ArmChoice) -> str:
    """The ODE solver of an arm's sampler; empty where it has none."""
    return str(getattr(paradigms.find(arm.paradigm).sampler(arm.sampler), "solver", ""))


def hand_check(run: Run) -> float:
    """6 N D over the operations counted: parameters times tokens, as Kaplan et al. (2020) estimate training."""
    return 6 * run.parameters * run.tokens / run.flops if run.flops else math.nan
