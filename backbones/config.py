"""Shape and options of the shared transformer, and the sizes the papers used.

The default is MusicGen-small's decoder (Copet et al. 2023; Tal et al. 2025, appendix E.3.1): pre-LN, GELU, no biases
in linear layers, cross-attention to the text in every block, sinusoidal positions. All else are options for any
paradigm, so that what one paper uses for one paradigm can be used for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..common.errors import UserError, did_you_mean

Positions = Literal["sinusoidal", "learned", "rotary", "none"]
TextMode = Literal["cross", "prefix", "none"]
TimeMode = Literal["none", "add", "adaln"]


@dataclass(frozen=True)
class BackboneConfig:
    """Everything that fixes the transformer's architecture.

    Attributes:
        d_model: width C.
        n_layers: number of blocks.
        n_heads: attention heads; must divide d_model.
        d_ff: hidden width of the feed-forward layers.
        causal: each position attends to itself and the past only, else to all positions.
        positions: ``sinusoidal`` and ``learned`` codes are added at the input, ``rotary`` acts in attention.
        max_positions: rows of the table of ``learned`` positions, the most positions that a sequence can have; other
            kinds of position have no limit and no table.
        text: ``cross``-attention in every block, text as a ``prefix`` of the sequence, or ``none``.
        skips: U-Net skips, Linear(Concat(x, skip)) before the later half of the blocks (Tal et al. 2025, E.3.1).
        time: a time in [0, 1] per item, ``add``-ed to the input or modulating every block through ``adaln``.
    """

    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    d_ff: int = 512
    causal: bool = True
    positions: Positions = "sinusoidal"
    max_positions: int = 4096
    text: TextMode = "cross"
    skips: bool = False
    time: TimeMode = "none"

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise UserError(f"backbone: d_model {self.d_model} is no multiple of n_heads {self.n_heads}; change one")
        if self.positions == "rotary" and (self.d_model // self.n_heads) % 2:
            raise UserError("backbone: rotary positions need an even head width; change d_model or n_heads")
        if self.skips and self.n_layers % 2:
            raise UserError(f"backbone: skips pair blocks, so n_layers must be even, not {self.n_layers}")


# Sizes of the papers. 193m and 462m: AudioMNTP Base and Large (Yang et al. 2025, section 4: text as a prefix, 24 x 768
# and 32 x 1024; the numbers of heads are not stated there and are those of MAR, whose weights initialise them).
# 400m: MusicGen-small.
PRESETS: dict[str, BackboneConfig] = {
    "tiny": BackboneConfig(d_model=128, n_layers=4, n_heads=4, d_ff=512),
    "small": BackboneConfig(d_model=384, n_layers=12, n_heads=6, d_ff=1536),
    "193m": BackboneConfig(d_model=768, n_layers=24, n_heads=12, d_ff=3072, text="prefix", positions="learned"),
    "400m": BackboneConfig(d_model=1024, n_layers=24, n_heads=16, d_ff=4096),
    "462m": BackboneConfig(d_model=1024, n_layers=32, n_heads=16, d_ff=4096, text="prefix", positions="learned"),
}


def preset(name: str, **overrides: Any) -> BackboneConfig:
    """The preset called ``name``, with some fields replaced.

    Raises:
        UserError: an unknown preset.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}{did_you_mean(name, list(PRESETS))}; known: {', '.join(PRESETS)}")
    return replace(PRESETS[name], **overrides)
