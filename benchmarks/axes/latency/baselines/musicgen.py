"""transformers' MusicGen decoder at our shape: its layers, its KV cache (DynamicCache), both branches in one batch.

The ``generate`` of transformers is not used: its logits processors would cost more than this loop does, so the time is
in favour of the baseline. Codes are drawn from the same uniform numbers as ours, so the results are the same codes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .....common.seeds import ItemRNG
from .....paradigms.ar import AR, draw
from .....paradigms.base import Conditions
from .....paradigms.delay import columns, pattern_mask, undelay
from .....paradigms.guidance import guide
from .....paradigms.musicgen import to_musicgen


class TransformersMusicgen:
    """MusicgenForCausalLM with the weights of an ``ar`` model."""

    own_weights: ClassVar[bool] = True

    def __init__(self, model: AR) -> None:
        weight = model.head.weight
        decoder: Any = to_musicgen(model)
        self.model, self.decoder = model, decoder.to(weight.device, weight.dtype).requires_grad_(False)

    @torch.no_grad()
    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Codes (B, K, T), column by column."""
        batch, codebooks = len(conditions), self.model.codebooks
        steps = columns(frames, codebooks) - 1
        text_RLC, mask_RL = self._text(conditions, sampler.branches)
        uniforms_BSK = rng.uniform(steps, codebooks)
        real_KS = pattern_mask(frames, codebooks, text_RLC.device)
        delayed = torch.full((batch, codebooks, steps + 1), self.model.special, device=text_RLC.device)
        past = None
        for step in range(steps):
            ids = delayed[:, :, step].repeat(sampler.branches, 1)
            out = self.decoder(
                input_ids=ids.reshape(-1, 1), encoder_hidden_states=text_RLC, encoder_attention_mask=mask_RL,
                past_key_values=past, use_cache=True,
            )  # fmt: skip
            past = out.past_key_values
            logits = out.logits[:, -1].unflatten(0, (-1, codebooks))
            codes = draw(guide(logits, sampler), uniforms_BSK[:, step], sampler)
            delayed[:, :, step + 1] = torch.where(real_KS[:, step + 1], codes, self.model.special)
        return undelay(delayed)

    def _text(self, conditions: Conditions, branches: int) -> tuple[Tensor, Tensor]:
        """Text at the decoder's width; the null branch's is zero, hence its cross-attention, which has no biases."""
        text_BLC = self.model.text_conditioner(conditions.text, conditions.text_mask_BL)
        mask_BL = conditions.text_mask_BL
        if branches == 1:
            return text_BLC, mask_BL
        return torch.cat([*[text_BLC] * (branches - 1), torch.zeros_like(text_BLC)]), mask_BL.repeat(branches, 1)
