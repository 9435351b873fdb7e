"""Small models with random weights, prompts, controls and clips, for ``check``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.paradigms.base import Conditions, Paradigm
from paradigm_bench.representations.latents.controls import ControlSpec
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.representations.text.encoders import TextSpec

TEXT = TextSpec("embeddings", dim=48, vocabulary=(), max_length=64)
CONTROLS = (ControlSpec("chords_majmin", 25, 16), ControlSpec("melody", 54, 16))
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
STD = 0.05
"""Standard deviation of the noise on the weights. At 0.02 the clips of mar and mntp hardly depend on their prompts (1%
of their norm), and errors could hide. At 0.1 denoising amplifies rounding errors until no comparison is possible. At
0.05 the wrong prompt changes the clips of every paradigm by 13% or more, and rounding to bf16 by 1.4% at most."""
LATENT = LatentSpec("random", 16000, 25.0, dim=32, codebooks=4, cardinality=256)


@dataclass(frozen=True)
class Size:
    """Size of a model and of its clips.

    Attributes:
        frames: of a clip. 70 frames need two buckets of the KV cache, which has 64 positions per bucket on a GPU.
        width, layers, heads: of the backbone. Heads of width 64 are those of the papers' models.
    """

    width: int = 256
    layers: int = 4
    heads: int = 4
    frames: int = 70
    latent: LatentSpec = LATENT

    def backbone(self, text: str) -> BackboneConfig:
        """Backbone that reads the text by cross-attention or as a prefix."""
        return BackboneConfig(self.width, self.layers, self.heads, 4 * self.width, text=text)  # type: ignore[arg-type]


FULL = Size()
LEARNING = Size(width=128, layers=2, heads=2, frames=32, latent=dataclasses.replace(LATENT, dim=6, cardinality=64))
"""Small enough for every paradigm to learn something in twenty updates."""
DRY = Size(width=32, layers=2, heads=2, frames=9, latent=dataclasses.replace(LATENT, dim=6, cardinality=16))

HEAD = {"width": 128, "depth": 2, "repeats": 4, "weighting": "velocity"}
OPTIONS: dict[str, Mapping[str, Any]] = {
    "mar": {"head": HEAD, "buffer_tokens": 8}, "ntp": {"head": HEAD}, "mntp": {"head": HEAD},
    "masked_fm": {"head": {"depth": 2}, "ratio": [0.5, 1.0]},
}  # fmt: skip
SAMPLERS: dict[str, Mapping[str, Any]] = {
    # Without top-k every code has an interval in the distribution function, as ``sampling.distances`` needs.
    "ar": {"top_k": 0}, "fm": {"steps": 8}, "mar": {"iterations": 6, "diffusion_steps": 10},
    "ntp": {"diffusion_steps": 10}, "mntp": {"diffusion_steps": 10}, "masked_fm": {"iterations": 4, "steps": 6},
}  # fmt: skip


def build(
    name: str, size: Size, text: str = "cross", controls: Sequence[ControlSpec] = (), inpainting: bool = False,
    spec: TextSpec = TEXT, std: float = STD,
) -> Paradigm:  # fmt: skip
    """A model on the CPU with noise on all weights: a layer that starts at zero would hide what is behind it.

    A paradigm that is not listed in ``OPTIONS`` has those of its conformance settings.
    """
    torch.manual_seed(0)
    conformance = paradigms.find(name).conformance
    options = {**OPTIONS.get(name, conformance.options), **(conformance.inpainting if inpainting else {})}
    model = paradigms.build(name, options, size.backbone(text), size.latent, spec, tuple(controls)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(std * torch.randn_like(parameter))
    return model


def sampler_of(model: Paradigm, **settings: Any) -> Any:
    """Sampler settings; a paradigm that is not listed in ``SAMPLERS`` has those of its conformance settings."""
    return model.sampler({**SAMPLERS.get(model.name, model.conformance.sampler), **settings})


def conditions_of(
    lengths: Sequence[int], seed: int, dtype: torch.dtype, controls: Sequence[ControlSpec] = (), frames: int = 0
) -> Conditions:
    """Random prompts with these numbers of tokens, padded to the longest, and random controls."""
    draw, rows = torch.Generator().manual_seed(seed), len(lengths)
    text_BLD = torch.randn(rows, max(lengths), TEXT.dim, generator=draw).to(dtype)
    mask_BL = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    tokens = {spec.name: torch.randint(spec.cardinality, (rows, frames), generator=draw) for spec in controls}
    return Conditions(text_BLD, mask_BL, tokens)


def clips_of(model: Paradigm, clips: int, frames: int, seed: int) -> Tensor:
    """Random clips in the form in which ``model`` draws them: codes (B, K, T) or latents (B, T, D)."""
    draw, latent = torch.Generator().manual_seed(seed), model.latent
    if model.view == "codes":
        return torch.randint(latent.cardinality, (clips, latent.codebooks, frames), generator=draw)
    return torch.randn(clips, frames, latent.dim, generator=draw)


def hidden_span(clips: int, frames: int) -> Tensor:
    """(B, T), False on one third of each clip; the place of the span alternates between two."""
    frame, hidden = torch.arange(frames), frames // 3
    start_B = torch.tensor([frames // 4 + (i % 2) * frames // 5 for i in range(clips)])
    return (frame < start_B[:, None]) | (frame >= start_B[:, None] + hidden)
