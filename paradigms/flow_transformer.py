"""The flow head of masked_fm: a small transformer over all frames of a clip (MaskAudioFlow 2025, section 3.6).

The input of each frame is its state, noisy at masked frames and clean at the others, plus the backbone's output there.
The time modulates the blocks (AdaLN). The blocks are the backbone's, bidirectional and without cross-attention, since
the backbone has read the text. Straight paths as in ``fm``, without its sigma and its loss weight:
x_t = (1 - t) noise + t data, v = data - noise.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from ..backbones import BackboneConfig
from ..backbones.cost import BackboneCost, Phase, linear
from ..backbones.linear import Linear
from ..backbones.transformer import Backbone
from ..common.errors import UserError
from ..common.seeds import ItemRNG
from .guidance import guide
from .heads import FlowSampler
from .masks import index_at, picked
from .ode import evaluations, integrate


class FlowTransformer(nn.Module):
    """Predicts the velocities of all masked frames of a clip together."""

    def __init__(self, backbone: BackboneConfig, token_dim: int, width: int, depth: int, repeats: int) -> None:
        super().__init__()
        head_width = backbone.d_model // backbone.n_heads
        if width % head_width:
            raise UserError(f"masked_fm: head.width {width} is no multiple of the heads' {head_width}; change it")
        self.config = dataclasses.replace(
            backbone, d_model=width, n_layers=depth, n_heads=width // head_width,
            d_ff=backbone.d_ff * width // backbone.d_model, causal=False, text="none", skips=False, time="adaln",
        )  # fmt: skip
        self.repeats = repeats
        self.inputs = Linear(token_dim, width)
        self.condition = Linear(backbone.d_model, width)
        self.blocks = Backbone(self.config)
        self.outputs = Linear(width, token_dim)

    def velocity(self, x_BTD: Tensor, time_B: Tensor, condition_BTW: Tensor) -> Tensor:
        """The field (n B, T, D) at ``x_BTD`` under the conditions of the n branches of guidance.

        Args:
            time_B: times in [0, 1], one per row or one for all.
            condition_BTW: the backbone's output through ``condition``.
        """
        return self.outputs(self._hidden(x_BTD, time_B, condition_BTW))

    def loss(self, data_BTD: Tensor, z_BTC: Tensor, masked_BM: Tensor, rng: ItemRNG) -> Tensor:
        """|v - v_hat|^2 at a uniform time per clip, mean over masked frames, dims and repeats; (B,)."""
        batch, frames, dim = data_BTD.shape
        time_R, noise = rng.uniform(self.repeats).flatten(), rng.normal(self.repeats, frames, dim).flatten(0, 1)
        data, condition, masked = (
            x.repeat_interleave(self.repeats, dim=0) for x in (data_BTD, self.condition(z_BTC), masked_BM)
        )
        index = index_at(masked, data)
        noisy = torch.lerp(noise, data, time_R[:, None, None]).gather(1, index)
        hidden = self._hidden(data.scatter(1, index, noisy), time_R, condition)
        v_hat = self.outputs(picked(hidden, masked))
        return (v_hat - (data - noise).gather(1, index)).square().view(batch, -1).mean(dim=1)

    def sample(
        self,
        z_BTC: Tensor,
        clean_BTD: Tensor,
        masked_BM: Tensor,
        noise_BTD: Tensor,
        settings: FlowSampler,
        scale: float,
    ) -> Tensor:
        """Generate the masked frames together; (B, T, D) float32, in which the other frames are to be ignored.

        Args:
            z_BTC: the backbone's output (n B, T, C) for the n branches of guidance.
            clean_BTD: the clip; its content at masked frames is ignored.
        """
        masked_BT1 = torch.zeros_like(clean_BTD[..., :1], dtype=torch.bool).scatter(1, masked_BM[..., None], True)
        condition = self.condition(z_BTC)

        def field(x_BTD: Tensor, t: float) -> Tensor:
            rows = torch.where(masked_BT1, x_BTD, clean_BTD).to(condition.dtype)
            time = torch.full((1,), t, device=rows.device)
            return guide(self.velocity(rows, time, condition), settings, scale)

        return integrate(field, settings.temperature * noise_BTD, settings.ode)

    def forward_cost(self, batch: int, frames: int, masked: float) -> float:
        """Operations of a forward pass of ``loss``; the backbone's output is read once for all repeats."""
        rows, width, token_dim = batch * self.repeats, self.config.d_model, self.inputs.in_features
        read = linear(batch * frames, self.condition.in_features, width)
        around = linear(rows * frames, token_dim, width) + linear(rows, width, token_dim) * masked
        return read + around + BackboneCost(self.config, 1).run(rows, frames, frames, 0, 0)[0]

    def cost(self, batch: int, frames: int, settings: FlowSampler, element_size: int) -> list[Phase]:
        """Reading the backbone's output, then one pass per evaluation of the field."""
        rows, width, token_dim = batch * settings.branches, self.config.d_model, self.inputs.in_features
        d_model = self.condition.in_features
        flops, moved = BackboneCost(self.config, element_size).run(rows, frames, frames, 0, 0, times=1)
        flops += linear(batch * frames, token_dim, width) + linear(rows * frames, width, token_dim)
        moved += element_size * ((token_dim + 1) * width + (width + 1) * token_dim)
        return [
            Phase("head condition", 1, linear(rows * frames, d_model, width), (d_model + 1) * width * element_size),
            Phase("head step", evaluations(settings.ode), flops, moved),
        ]

    def _hidden(self, x_BTD: Tensor, time_B: Tensor, condition_BTW: Tensor) -> Tensor:
        h = self.inputs(x_BTD)
        branches = len(condition_BTW) // len(h)
        return self.blocks((h if branches == 1 else h.repeat(branches, 1, 1)) + condition_BTW, time_B=time_B)
