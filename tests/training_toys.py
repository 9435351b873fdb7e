"""Two toy paradigms over toy clips, small enough that a training run takes a blink; run as a program, one such run.

python tests/training_toys.py FOLDER [key=value of TrainSpec ...] [die_at=UPDATE]
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paradigm_bench.common.config import from_dict
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch, Loss
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.representations.text.encoders import TextSpec
from paradigm_bench.training import TrainSpec
from paradigm_bench.training.data import BatchStream
from paradigm_bench.training.loop import leave_process_group, train
from paradigm_bench.training.results import TrainResult
from paradigm_bench.training.validation import HeldOutClips

LATENT = LatentSpec("toy", sample_rate=1000, frame_rate_hz=10.0, dim=3, codebooks=2, cardinality=7, mean=0.5, std=2.0)
SPEC = TrainSpec(updates=12, batch=6, seconds=0.8, warmup=3, checkpoint_every=4, log_every=1, lr=1e-2)
# Of curves whose sums were taken in another order. Muon makes its steps in bfloat16, which turns 1e-7 into more.
ROUNDING = {"adamw": 1e-4, "muon": 1e-3}


@dataclass(frozen=True)
class ToyOptions:
    width: int = 4


class Toy(nn.Module):
    """What the loop asks of a paradigm, with an embedding, a norm, biases, dropout and a parameter seldom used."""

    name = "toy"

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.options, self.backbone_config, self.latent = ToyOptions(width), ToyOptions(), LATENT
        self.words = nn.Embedding(100, width)
        self.inputs = nn.Linear(LATENT.dim, width)
        self.norm = nn.LayerNorm(width)
        self.outputs = nn.Linear(width, LATENT.dim)
        self.null_text = nn.Parameter(torch.zeros(width))

    def hidden(self, batch: Batch, x_BTD: Tensor) -> Tensor:
        mask_BL = batch.conditions.text_mask_BL
        text_BC = (self.words(batch.conditions.text) * mask_BL[..., None]).sum(dim=1)
        if not mask_BL.any(dim=1).all():
            text_BC = torch.where(mask_BL.any(dim=1, keepdim=True), text_BC, self.null_text)
        return self.norm(self.inputs(x_BTD) + text_BC[:, None])


class Denoiser(Toy):
    """Predicts latents from noisy latents; the batch shares one noise level."""

    name = "denoiser"

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        noisy = batch.latents_BTD + shared.uniform(1)[0] * rng.normal(*batch.latents_BTD.shape[1:])
        error = self.outputs(self.hidden(batch, noisy)) - batch.latents_BTD
        return Loss.from_items(error.square().mean(dim=(1, 2)))


class Coder(Toy):
    """Predicts the first codebook's code of each frame from the latents, with torch's own dropout."""

    name = "coder"

    def __init__(self) -> None:
        super().__init__(width=LATENT.cardinality)

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        assert batch.codes_BKT is not None
        logits = nn.functional.dropout(self.hidden(batch, batch.latents_BTD), 0.2)
        losses = nn.functional.cross_entropy(logits.transpose(1, 2), batch.codes_BKT[:, 0], reduction="none")
        return Loss.from_items(losses.mean(dim=1) + 0 * self.outputs(logits).sum(dim=(1, 2)))


def acting(model: Any, at: int = 0, act: Callable[[Loss], Loss] = lambda loss: loss) -> Any:
    """``model``, counting its losses in ``calls`` and passing the loss of call ``at`` through ``act``."""
    inner, model.calls = model.loss, 0

    def loss(batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        model.calls += 1
        value = inner(batch, rng, shared)
        return act(value) if model.calls == at else value

    model.loss = loss
    return model


def interrupt(loss: Loss, number: int = signal.SIGTERM) -> Loss:
    os.kill(os.getpid(), number)
    return loss


@dataclass(frozen=True)
class ToyClip:
    id: str
    caption: str


@dataclass
class ToySplit:
    """Clips of 8 to 14 frames whose latents say which clip and frame they are."""

    count: int = 10
    controlled: bool = False
    clips: list[ToyClip] = field(init=False)
    frames: list[int] = field(init=False)
    z: list[Tensor] = field(init=False)
    codes: list[Tensor] = field(init=False)
    controls: dict[str, list[Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        self.clips = [ToyClip(f"clip{i}", f"{i} " * (1 + i % 3)) for i in range(self.count)]
        self.frames = [8 + i % 7 for i in range(self.count)]
        frames = [torch.arange(n) for n in self.frames]
        self.z = [torch.stack([torch.full_like(t, i), t, t.sin()], dim=1).float() for i, t in enumerate(frames)]
        self.codes = [torch.stack([t % 7, torch.full_like(t, i % 7)]).to(torch.int16) for i, t in enumerate(frames)]
        self.controls = (
            {"chords": [t % 5 for t in frames], "melody": [t % 3 for t in frames]} if self.controlled else {}
        )


class ToyText:
    """Words are numbers, and their ids the number after."""

    spec = TextSpec("tokens", 0, tuple(map(str, range(100))), max_length=8)

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        rows = [[int(word) + 1 for word in caption.split()] for caption in captions]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return ids, ids > 0


def toy_stream(spec: TrainSpec = SPEC, count: int = 10, controlled: bool = False) -> BatchStream:
    return BatchStream(ToySplit(count, controlled), LATENT, ToyText(), spec)  # type: ignore[arg-type]


def toy_validation(spec: TrainSpec = SPEC, count: int = 20, controlled: bool = False) -> HeldOutClips:
    return HeldOutClips(ToySplit(count, controlled), LATENT, ToyText(), spec)  # type: ignore[arg-type]


def save_toy(model: nn.Module, folder: Path) -> None:
    from safetensors.torch import save_file

    save_file(model.state_dict(), folder / "model.safetensors")


def run(folder: Path, spec: TrainSpec = SPEC, model: Any = None, save: Any = save_toy, **options: Any) -> TrainResult:
    stream = toy_stream(spec)
    return train(model or Denoiser(), stream, spec, folder, device="cpu", progress=False, save=save, **options)


def lines(folder: Path) -> list[dict[str, float]]:
    """The log of a training folder."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def curve(folder: Path) -> list[list[float]]:
    """(update, loss, lr, grad_norm) of each update's line in the log."""
    keys = ("update", "loss", "lr", "grad_norm")
    return [[line[key] for key in keys] for line in lines(folder) if "loss" in line]


def held_out(folder: Path) -> list[list[float]]:
    """(update, validation loss, its standard error) of each validation's line in the log."""
    keys = ("update", "validation_loss", "validation_error")
    return [[line[key] for key in keys] for line in lines(folder) if "validation_loss" in line]


def die_while_saving(update: int) -> None:
    """Have this process vanish, as by SIGKILL, half-way through writing the checkpoint of ``update``."""
    from paradigm_bench.training import checkpoints

    whole = checkpoints.save_file

    def save_file(tensors: dict[str, Tensor], path: Path) -> None:
        if f"{update:06d}" in str(path) and path.name == "optimizer.safetensors":
            path.write_bytes(b"half")
            os._exit(9)
        whole(tensors, path)

    checkpoints.save_file = save_file


if __name__ == "__main__":
    settings = {key: json.loads(value) for key, value in (pair.split("=") for pair in sys.argv[2:])}
    if "die_at" in settings:
        die_while_saving(settings.pop("die_at"))
    run(Path(sys.argv[1]), from_dict(TrainSpec, {**SPEC.__dict__, **settings}, "arguments"))
    if torch.distributed.is_initialized():
        # A file each: lines that two processes print to one pipe may run into each other.
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        Path(f"{sys.argv[1]}-rank{rank}").write_text(f"{rank} of {size}")
    leave_process_group()
