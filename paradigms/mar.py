"""Masked autoregressive modelling of continuous latents with a per-token diffusion head.

MAR is by Li et al. 2024; for audio, AudioMAR in Yang et al. 2025 and IMPACT (Huang et al. 2025).

Training masks a random share of the tokens; the diffusion head learns to generate them, given the backbone's
bidirectional view of the rest. Sampling begins with all tokens masked and reveals them in random order over a few
iterations, their number following a cosine. With ``mae`` (the papers' form) the first half of the blocks reads the kept
tokens only, and the second half reads all positions, with mask embeddings at the masked ones; without it all blocks
read all positions. Buffer tokens, and text that is a prefix, go through both halves (Huang et al. 2025, eqs. 7 and 8).

Parts of MAR's reference code that the papers do not mention are options: the code of a token's position that is added
to the head's condition, the layer norms around the encoder, and the learned null condition. docs/method.md compares
them, and all that is kept different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..backbones.cache import TextMemory
from ..backbones.cost import Phase
from ..backbones.linear import Linear
from ..backbones.transformer import truncated_normal_
from ..common.config import later
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from .base import Batch, Loss, ParadigmOptions
from .conformance import ConformanceSettings, MemorisationSettings
from .guidance import Schedule
from .heads import HeadOptions, HeadSampler, token_head
from .masked import MaskedParadigm, Unmasking
from .masks import MAR_RATIO, Order, TruncatedNormal, cosine_counts, hidden_first, index_at, picked
from .mntp import TargetCode


@dataclass(frozen=True)
class MAROptions(ParadigmOptions):
    """Options of masked autoregression.

    Attributes:
        mae: the encoder (first half of the blocks) drops masked tokens; else all blocks read mask embeddings.
        buffer_tokens: learned tokens before the sequence, so that the encoder's input is never empty.
        ratio: distribution of the mask ratio, one draw per batch.
        token_code: add a learned code of the token's position to the head's condition.
        norms: layer norms on the encoder's input, after positions were added, and on its output.
        null_code: add a learned vector to the buffer tokens of clips without text, which is the null condition of
            guidance. In MAR's reference the class stands there; here text is read by cross-attention or as a prefix,
            and without it the null condition is no text at all.
    """

    mae: bool = True
    buffer_tokens: int = 64
    ratio: TruncatedNormal = MAR_RATIO
    token_code: bool = later(False)
    norms: bool = later(False)
    null_code: bool = later(False)
    head: HeadOptions = field(default_factory=HeadOptions)

    def __post_init__(self) -> None:
        if self.buffer_tokens < 1:
            raise UserError("mar: buffer_tokens must be 1 or more, since the encoder starts with every token masked")


@dataclass(frozen=True)
class MARSampler(HeadSampler):
    """Settings of the head, and of the unmasking. By default the guidance scale rises linearly, as in MAR.

    Attributes:
        iterations: passes in which all tokens are unmasked.
        order: of the unmasking: ``random`` (MAR), or ``causal``, from left to right (Yang et al. 2025, table 6 C, D).
    """

    iterations: int = 64
    order: Order = later("random")  # noqa: RUF009
    guidance_schedule: Schedule = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise UserError(f"mar sampler: iterations must be 1 or more, not {self.iterations}")


class MAR(MaskedParadigm):
    """Random-order masked prediction with a diffusion head."""

    name = "mar"
    options_class = MAROptions
    sampler_class = MARSampler
    conformance = ConformanceSettings(
        options={"buffer_tokens": 3, "head": {"width": 32, "depth": 2, "repeats": 2}},
        sampler={"iterations": 4, "diffusion_steps": 8, "guidance": 2.0},
        memorisation=MemorisationSettings(
            updates=300,
            copies=2,
            options={"head": {"width": 64, "depth": 2, "repeats": 16}, "buffer_tokens": 4},
            sampler={"diffusion_steps": 25, "iterations": 8},
        ),
    )
    undecayed: ClassVar[tuple[str, ...]] = ("buffer",)
    options: MAROptions

    def add_layers(self) -> None:
        """The input layer, the buffer tokens, the mask embedding, the head, and the parts that are options."""
        if self.options.mae and self.backbone_config.skips:
            raise UserError("mar: U-Net skips need blocks that all see the whole sequence; set mae or skips to false")
        width = self.backbone_config.d_model
        self.inputs = Linear(self.latent.dim, width)
        self.buffer = nn.Parameter(torch.empty(self.options.buffer_tokens, width))
        self.mask_embedding = nn.Parameter(torch.empty(width))
        truncated_normal_(self.buffer, 0.02)
        truncated_normal_(self.mask_embedding, 0.02)
        self.head = token_head(self.options.head, self.latent.dim, width)
        self.norm_in = nn.LayerNorm(width) if self.options.norms else None
        self.norm_encoded = nn.LayerNorm(width) if self.options.norms and self.options.mae else None
        self.null_code = nn.Parameter(torch.empty(width)) if self.options.null_code else None
        self.token_code = TargetCode(self.backbone_config) if self.options.token_code else None
        for small in [self.null_code, *(self.token_code.parameters() if self.token_code is not None else ())]:
            if small is not None:
                truncated_normal_(small, 0.02)

    def context(
        self, latents_BTD: Tensor, order_BT: Tensor, masked: int, text: TextMemory, controls_BTC: Tensor | None = None
    ) -> Tensor:
        """The backbone's output at every position, (B, T, C).

        Args:
            order_BT: a permutation of the positions per row; the first ``masked`` of them are masked.
        """
        self.backbone.check_length(len(self.buffer) + order_BT.shape[1])
        x_BTC = self.inputs(latents_BTD)
        x_BTC = x_BTC if controls_BTC is None else x_BTC + controls_BTC
        hidden, kept = order_BT[:, :masked], order_BT[:, masked:]
        layers, half = self.backbone_config.n_layers, self.backbone_config.n_layers // 2
        if self.options.mae:
            encoded, text = self._blocks(picked(x_BTC, kept), kept, 0, half, text)
            encoded = encoded if self.norm_encoded is None else self.norm_encoded(encoded)
            buffer, tokens = encoded[:, : len(self.buffer)], encoded[:, len(self.buffer) :]
            whole = torch.zeros_like(x_BTC, dtype=tokens.dtype).scatter(1, index_at(kept, x_BTC), tokens)
            h_BTC, _ = self._blocks(self._fill(whole, hidden, controls_BTC), None, half, layers, text, buffer)
        else:
            h_BTC, _ = self._blocks(self._fill(x_BTC, hidden, controls_BTC), None, 0, layers, text)
        z_BTC: Tensor = self.backbone.norm_out(h_BTC)[:, len(self.buffer) :]
        if self.token_code is not None:
            z_BTC = z_BTC + self.token_code(torch.arange(1, z_BTC.shape[1] + 1, device=z_BTC.device))
        return z_BTC

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        """Noise-prediction error of the diffusion head, averaged over the masked tokens (Huang et al. 2025, eq. 2).

        Where the batch trains inpainting, only tokens of the hidden span are masked, by the same ratios.
        """
        frames = batch.latents_BTD.shape[1]
        masked = max(round(self.options.ratio.draw(shared) * batch.hidden_frames), 1)
        order_BT = hidden_first(rng.permutation(frames), batch.known_BT)
        text, controls = self.read_text(batch.conditions), self.read_controls(batch.conditions, frames)
        z_BTC = self.context(batch.latents_BTD, order_BT, masked, text, controls)
        hidden = order_BT[:, :masked]
        return Loss.from_items(self.head.loss(picked(batch.latents_BTD, hidden), picked(z_BTC, hidden), rng))

    def unmasking(self, shape: Sequence[int], hidden: int, sampler: MARSampler) -> MARUnmasking:
        """Buffers for clips of ``shape`` (B, T, D), of which ``hidden`` tokens are to be generated."""
        return MARUnmasking(self, shape, hidden, sampler)

    def cost(self, batch: int, frames: int, sampler: Any, text_tokens: int, element_size: int = 4) -> list[Phase]:
        """Reading the text; then per iteration a pass over the kept tokens, one over all, and the head's loop."""
        rows, text_rows = self.guided_rows(batch, sampler)
        count, layers = self.backbone_cost(element_size), self.backbone_config.n_layers
        before = len(self.buffer) + self.prefix_length(text_tokens)
        encoder = layers // 2 if self.options.mae else 0
        inputs, weights = self.inputs.cost(rows * frames, element_size)
        code = (0, 0) if self.token_code is None else self.token_code.cost(frames, element_size)
        phases = [self.text_cost(text_rows, text_tokens, element_size)]
        for masked, remaining in unmasking_plan(frames, sampler):
            kept, whole = before + frames - masked, before + frames
            first = count.run(rows, kept, kept, text_rows, text_tokens, layers=encoder)
            second = count.run(rows, whole, whole, text_rows, text_tokens, layers=layers - encoder)
            flops, moved = first[0] + second[0] + inputs, first[1] + second[1] + weights
            phases.append(Phase("step", 1, flops + code[0], moved + code[1]))
            phases += self.head.cost(batch * (masked - remaining), 1, sampler, element_size)
        return phases

    def forward_cost(self, batch: int, frames: int, text_tokens: int, hidden: int) -> float:
        """The encoder over the kept tokens, the decoder over all of them, the head on the masked ones."""
        layers, before = self.backbone_config.n_layers, len(self.buffer)
        encoder = layers // 2 if self.options.mae else 0
        cost = 0.0 + self.inputs.cost(batch * frames)[0]
        cost += self.pass_cost(batch, before + frames, text_tokens, layers - encoder)
        cost += 0 if self.token_code is None else self.token_code.cost(frames, 1)[0]
        ratios = self.options.ratio.quantiles()
        for ratio in ratios:
            masked = max(round(ratio * (hidden or frames)), 1)
            kept = self.pass_cost(batch, before + frames - masked, text_tokens, encoder)
            cost += (kept + self.head.forward_cost(batch * masked)) / len(ratios)
        return cost

    def _fill(self, x_BTC: Tensor, hidden: Tensor, controls_BTC: Tensor | None) -> Tensor:
        """``x_BTC`` with the mask embedding, and the controls of that position, at the hidden positions."""
        index = index_at(hidden, x_BTC)
        masks = self.mask_embedding.to(x_BTC.dtype).expand(index.shape)
        if controls_BTC is not None:
            masks = masks + controls_BTC.to(x_BTC.dtype).gather(1, index)
        return x_BTC.scatter(1, index, masks)

    def _blocks(
        self,
        x_BTC: Tensor,
        positions: Tensor | None,
        start: int,
        stop: int,
        text: TextMemory,
        buffer: Tensor | None = None,
    ) -> tuple[Tensor, TextMemory]:
        """Output of blocks ``start`` to ``stop`` for [buffer, x], and the text for the blocks after them.

        Token i stands at position n_buffer + i.

        Args:
            buffer: what earlier blocks made of the buffer tokens; None: the first blocks.
        """
        n_buffer = len(self.buffer)
        if positions is None:
            positions = torch.arange(x_BTC.shape[1], device=x_BTC.device).expand(len(x_BTC), -1)
        before = torch.arange(n_buffer, device=x_BTC.device).expand(len(x_BTC), -1)
        positions = torch.cat([before, positions + n_buffer], dim=1)
        put = self._buffer(len(x_BTC), text) if buffer is None else buffer
        h = self.backbone.embed(torch.cat([put, x_BTC], dim=1), positions_BT=positions)
        h = self.norm_in(h) if self.norm_in is not None and buffer is None else h
        h, read = self.backbone.run(h, start, stop, text, positions_BT=positions)
        return h, read or text

    def _buffer(self, rows: int, text: TextMemory) -> Tensor:
        """The buffer tokens of each row; the null branch of guidance comes last, and ``text`` may leave it out."""
        buffer = self.buffer.expand(rows, -1, -1)
        if self.null_code is None:
            return buffer
        absent_B = ~text.mask_BL.any(dim=1)
        absent_B = nn.functional.pad(absent_B, (0, rows - len(absent_B)), value=True)
        return torch.where(absent_B[:, None, None], buffer + self.null_code, buffer)


def unmasking_plan(hidden: int, sampler: MARSampler) -> list[tuple[int, int]]:
    """Tokens that are masked before and after each iteration."""
    after = cosine_counts(hidden, sampler.iterations)
    return list(zip([hidden, *after[:-1]], after, strict=True))


class MARUnmasking(Unmasking):
    """Buffers of the iterations, and the noise of the tokens that one of them generates.

    Args:
        shape: of the clips, (B, T, D).
        hidden: tokens that are to be generated.
    """

    model: MAR
    sampler: MARSampler

    def __init__(self, model: MAR, shape: Sequence[int], hidden: int, sampler: MARSampler) -> None:
        super().__init__(model, shape, unmasking_plan(hidden, sampler), sampler)
        self.scales = torch.tensor(self.guidance_scales, device=self.device)
        most = max(masked - remaining for masked, remaining in self.plan)
        self.noise = torch.zeros(model.head.draws(sampler) * shape[0] * most * shape[2], device=self.device)

    def reveal(self, i: int, rng: ItemRNG) -> None:
        """Generate the tokens of iteration ``i``."""
        masked, remaining = self.plan[i]
        draws, dim = self.model.head.draws(self.sampler), self.latents.shape[-1]
        noise_SBnD = rng.normal(draws, masked - remaining, dim).transpose(0, 1)
        held = self.noise[: noise_SBnD.numel()].view(noise_SBnD.shape)
        held.copy_(noise_SBnD)
        self.run(i, lambda: self._reveal(i, held))

    def _reveal(self, i: int, noise_SBnD: Tensor) -> None:
        masked, remaining = self.plan[i]
        branches = self.sampler.branches
        latents = self.latents.to(self.model.buffer.dtype).repeat(branches, 1, 1)
        order = self.order_BT.repeat(branches, 1)
        z_BTC = self.model.context(latents, order, masked, self.text, self.controls)
        z_RC = picked(z_BTC, order[:, remaining:masked]).flatten(0, 1)
        tokens = self.model.head.sample(z_RC, noise_SBnD.flatten(1, 2), self.sampler, self.scales[i])
        reveal = self.order_BT[:, remaining:masked]
        self.latents.scatter_(1, index_at(reveal, self.latents), tokens.view(noise_SBnD.shape[1:]))
