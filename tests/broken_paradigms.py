"""Built-in paradigms, each with one deliberate fault; see test_conformance_faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from paradigm_bench.backbones.cost import Phase
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.ar import AR
from paradigm_bench.paradigms.base import Batch, Conditions, Loss
from paradigm_bench.paradigms.fm import FM
from paradigm_bench.paradigms.mntp import NTP


class GlobalNoise(FM):
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        noise = torch.randn(len(conditions), frames, self.latent.dim)
        return self._solve(conditions, noise, None, None, sampler)


class Forgetful(FM):
    """Keeps its noise from one call to the next."""

    calls = 0

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        self.calls += 1
        noise = rng.normal(frames, self.latent.dim) + 0.1 * self.calls
        return self._solve(conditions, noise, None, None, sampler)


class SharedNoise(FM):
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        noise = rng.normal(frames, self.latent.dim)[:1].expand(len(conditions), -1, -1)
        return self._solve(conditions, noise, None, None, sampler)


class BatchNorm(FM):
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        clips = super().generate(conditions, frames, sampler, rng)
        # The mean over the batch: the same for swapped seeds, another one for a clip alone.
        return clips - conditions.text_mask_BL.sum(dim=1).float().mean()


class ReadsPadding(FM):
    def read_text(self, conditions: Conditions, branches: int = 1) -> Any:
        seen = conditions.text_mask_BL | conditions.text_mask_BL.any(dim=1, keepdim=True)
        return super().read_text(Conditions(conditions.text, seen, conditions.controls), branches)


class Transposed(FM):
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        return super().generate(conditions, frames, sampler, rng).transpose(1, 2)


class IdleLayer(FM):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.idle = torch.nn.Linear(2, 2)


class Unsaved(FM):
    """Its offset is no buffer, so a file does not hold it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.offset = torch.randn(self.latent.dim)

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        return super().generate(conditions, frames, sampler, rng) + self.offset


class IgnoresText(FM):
    def read_text(self, conditions: Conditions, branches: int = 1) -> Any:
        words = torch.ones_like(conditions.text)
        return super().read_text(Conditions(words, conditions.text_mask_BL, conditions.controls), branches)


class OtherGuidance(FM):
    """Conditional + w (conditional - null), as in Yang et al. 2025, eq. 4: one more than the scale asked for."""

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        return super().generate(conditions, frames, dataclasses.replace(sampler, guidance=sampler.guidance + 1), rng)


class IgnoresControls(FM):
    def read_controls(self, conditions: Conditions, frames: int, branches: int = 1) -> Tensor | None:
        read = super().read_controls(conditions, frames, branches)
        return None if read is None else 0 * read


class SummedLoss(FM):
    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        per_item_B = super().loss(batch, rng, shared).per_item_B
        return Loss(per_item_B.sum(), per_item_B)


class WeighsByBatch(FM):
    """Each item's weight is its share of the batch's total, so micro-batches do not make up the whole."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        per_item_B = super().loss(batch, rng, shared).per_item_B
        return Loss((per_item_B * per_item_B.softmax(dim=0).detach()).sum(), per_item_B)


class FullPrecisionBuffer(FM):
    """Scatters half-precision values into a single-precision tensor."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        x = self.inputs(batch.latents_BTD)
        torch.zeros(x.shape, device=x.device).scatter(1, torch.zeros_like(x, dtype=torch.int64), x)
        return super().loss(batch, rng, shared)


class ReadsBack(FM):
    """Looks at the times on the host."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        loss = super().loss(batch, rng, shared)
        return loss if float(loss.mean.detach()) > 0 else Loss.from_items(0 * loss.per_item_B)


class NoiseOnHost(FM):
    """Draws noise on the CPU and moves it."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        noise = ItemRNG([1] * len(rng)).normal(*batch.latents_BTD.shape[1:])
        per_item_B = super().loss(batch, rng, shared).per_item_B + 0 * (batch.latents_BTD + noise).mean()
        return Loss.from_items(per_item_B)


class SometimesIdle(FM):
    """Has a parameter that updates of inpainting do not use, and says that there is none."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.worded = nn.Parameter(torch.zeros(self.backbone_config.d_model))

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        loss = super().loss(batch, rng, shared)
        if batch.known_BT is not None:
            return loss
        return Loss.from_items(loss.per_item_B + self.worded.mean())


class TouchesKnown(FM):
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        return self._solve(conditions, rng.normal(*target.shape[1:]), target, known_BT, sampler)


class PeeksInSpan(FM):
    def inpaint(self, target: Tensor, known_BT: Tensor, conditions: Conditions, sampler: Any, rng: ItemRNG) -> Tensor:
        filled = super().inpaint(target, known_BT, conditions, sampler, rng)
        return torch.where(known_BT[..., None], target, filled + 0.1 * target)


class ClaimsInpainting(NTP):
    inpaints = True


class HalfCost(FM):
    """Forgets guidance's second branch."""

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        return super().cost(batch, frames, dataclasses.replace(sampler, guidance=1.0), text_tokens, element_size)


class LateStream(AR):
    """Decides the whole clip before it hands out the first part."""

    def stream(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG, chunk: int) -> Iterator[Tensor]:
        whole = next(super().stream(conditions, frames, sampler, rng, frames))
        yield from whole.split(chunk, dim=2)

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        return next(self.stream(conditions, frames, sampler, rng, frames))


class SeesTheFuture(NTP):
    """Each frame reads the control of the last."""

    def read_controls(self, conditions: Conditions, frames: int, branches: int = 1) -> Tensor | None:
        read = super().read_controls(conditions, frames, branches)
        return None if read is None else read + read.roll(1, dims=1)


class Uphill(FM):
    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        loss = super().loss(batch, rng, shared)
        return Loss(loss.mean.detach() * 2 - loss.mean, loss.per_item_B)


class LeakyTarget(NTP):
    """The input at each position is the very token to be predicted, which sampling cannot know."""

    def _chain(self, tokens_BSD: Tensor, positions_BS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inputs, content, target = super()._chain(tokens_BSD, positions_BS)
        return (self.inputs(tokens_BSD) if self.training else inputs), content, target


class Crashes(FM):
    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        raise KeyError("steps")


class BadName(FM):
    name = "My Paradigm"
