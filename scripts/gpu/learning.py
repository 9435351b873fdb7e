"""Comparisons of training: loss and gradients on GPU and CPU, short runs in bf16 and TF32, runs that are resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gpu.toys import Size, build
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.corpora.clip import Clip
from paradigm_bench.paradigms.base import Batch, Paradigm
from paradigm_bench.representations.latents.encoded import EncodedSplit
from paradigm_bench.representations.text.encoders import PAD, UNKNOWN, WordTokeniser
from paradigm_bench.training import TrainSpec
from paradigm_bench.training.data import BatchStream
from paradigm_bench.training.loop import mean_loss, train

Where = Literal["auto", "cpu"]
UPDATES, STOP, CHECKPOINT = 20, 13, 10
"""Updates of a run, the update in which a run is stopped, and updates between checkpoints."""
FALL = 0.95
"""Limit of the mean of the last five losses over the mean of the first five. On a CPU this is between .12 (ar) and .88
(mar), and bf16 changes it by less than .002, because an update has the same data and noise on every device. A run that
learns nothing has 1."""
GRADIENTS = 1e-3
"""Limit of the relative error of loss and gradient in fp32. Another order of summing gives about 1e-6."""
RESUMED = 5e-3
"""Limit of the relative difference of a loss. On a CPU it is 0, and 5e-2 or more if the state of the optimiser is lost.
On a GPU, atomic additions round differently in every run, and Adam amplifies that."""

TEXT = WordTokeniser([PAD, UNKNOWN, *(f"word{i}" for i in range(20))], max_length=64)


class StoppedError(Exception):
    """Stops a training run as a crash would."""


def toy_stream(spec: TrainSpec, size: Size) -> BatchStream:
    """Training data of four clips with captions of unequal lengths; every batch has each clip several times."""
    draw, latent = torch.Generator().manual_seed(0), size.latent
    captions = [" ".join(f"word{(3 * i + j) % 20}" for j in range(4 + 5 * i)) for i in range(4)]
    clips = [Clip(f"clip{i}", "train", text, spec.seconds, {}, None) for i, text in enumerate(captions)]  # type: ignore[arg-type]
    z = [torch.randn(size.frames, latent.dim, generator=draw) for _ in clips]
    shape = (latent.codebooks, size.frames)
    codes = [torch.randint(latent.cardinality, shape, generator=draw).to(torch.int16) for _ in clips]
    return BatchStream(EncodedSplit(clips, [size.frames] * len(clips), z, codes), latent, TEXT, spec)


def spec_of(size: Size, **settings: Any) -> TrainSpec:
    """Twenty updates with a learning rate at which every paradigm learns from the first update on."""
    plain = TrainSpec(
        updates=UPDATES,
        batch=16,
        seconds=size.latent.seconds(size.frames),
        lr=3e-3,
        warmup=3,
        schedule="constant",
        checkpoint_every=CHECKPOINT,
        log_every=1,
    )
    return dataclasses.replace(plain, **settings)


def gradient_error(name: str, device: str, size: Size) -> float:
    """Relative error of the loss or of its gradient, whichever is larger, in fp32 on the device against the CPU."""
    ours, theirs = (_gradient(name, where, size) for where in (device, "cpu"))
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs))


def _gradient(name: str, device: str, size: Size) -> tuple[Tensor, Tensor]:
    """Loss of the first update, and its gradient as one vector."""
    stream = toy_stream(spec_of(size), size)
    model = build(name, size, spec=TEXT.spec).to(device).train()
    batch, rng = stream.batch(1, device=device)
    loss = model.loss(batch, rng, stream.shared(1)).mean
    loss.backward()
    parts = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return loss.detach().cpu().double(), torch.cat(parts).cpu().double()


def fall(name: str, where: Where, size: Size, settings: Mapping[str, Any]) -> float:
    """Mean of the last five losses of a run over the mean of its first five."""
    with tempfile.TemporaryDirectory() as folder:
        losses = run(name, spec_of(size, **settings), size, Path(folder), where)
    assert len(losses) == UPDATES, f"{len(losses)} losses in the log, {UPDATES} expected"
    return sum(losses[-5:]) / sum(losses[:5])


def resumed(name: str, where: Where, size: Size) -> float:
    """Largest relative difference of a loss between a run that was stopped and resumed, and an undisturbed run."""
    spec = spec_of(size)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, stopped = Path(folder) / "undisturbed", Path(folder) / "stopped"
        theirs = run(name, spec, size, undisturbed, where)
        with contextlib.suppress(StoppedError):
            run(name, spec, size, stopped, where, stop=STOP)
        assert list(stopped.glob("checkpoint-*")), "the run that was stopped left no checkpoint"
        ours = run(name, spec, size, stopped, where)
    assert len(ours) == len(theirs), f"{len(ours)} losses after resuming, {len(theirs)} expected"
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))


def run(name: str, spec: TrainSpec, size: Size, folder: Path, where: Where, stop: int = 0) -> list[float]:
    """Train a model, from the last checkpoint in ``folder`` if there is one; returns the losses of all updates.

    Args:
        stop: the update in which ``StoppedError`` is raised. 0: none.
    """
    calls = 0

    def objective(model: Paradigm, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise StoppedError
        return mean_loss(model, batch, rng, shared)

    model = build(name, size, spec=TEXT.spec, std=0.0)
    train(model, toy_stream(spec, size), spec, folder, progress=False, device=where, objective=objective)
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def comparisons(paradigm: str, what: str, device: str, size: Size) -> Iterator[tuple[str, Any, Any]]:
    """Comparisons of one paradigm: name, function that computes the error, function that returns its limit.

    Args:
        what: ``gradients``, ``runs`` or ``resuming``.
    """
    where: Where = "cpu" if device == "cpu" else "auto"
    if what == "gradients":
        name = f"{paradigm}: loss and gradient, {device} / cpu"
        yield name, partial(gradient_error, paradigm, device, size), lambda: GRADIENTS
    elif what == "runs":
        for settings in ({"precision": "bf16"}, {"precision": "tf32"}, {"precision": "bf16", "recompute": True}):
            name = f"{paradigm}: last losses / first losses, {', '.join(map(str, settings.values()))}"
            name = name.replace("True", "recomputed")
            yield name, partial(fall, paradigm, where, size, settings), lambda: FALL
    else:
        yield f"{paradigm}: losses, resumed / undisturbed", partial(resumed, paradigm, where, size), lambda: RESUMED
