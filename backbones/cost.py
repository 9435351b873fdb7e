"""The least that one pass through the backbone costs: floating-point operations, and bytes that must be moved.

Operations are two per multiply-add of every matrix product, and all of a causal square. Bytes are those that no
implementation can keep on the chip from one step to the next: weights, the KV cache, keys and values of the text.
Activations are not counted. Both give a lower bound on time (the roofline model, Williams et al. 2009) for a device
whose copy bandwidth and matrix rate are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .config import BackboneConfig

TIME_CODE = 256
"""Width of the sinusoid that is the input of the time embedding."""


@dataclass(frozen=True)
class Phase:
    """A step that is done ``times`` times, one after the other.

    Attributes:
        flops: floating-point operations of one repetition.
        bytes: bytes that one repetition must move.
    """

    name: str
    times: int
    flops: float
    bytes: float


def bound_seconds(phases: Iterable[Phase], flops_per_s: float, bytes_per_s: float) -> float:
    """Lower bound on the time: each repetition takes as long as its operations or its bytes, whichever is longer."""
    return sum(phase.times * max(phase.flops / flops_per_s, phase.bytes / bytes_per_s) for phase in phases)


def linear(rows: int, d_in: int, d_out: int) -> int:
    """Floating-point operations of a linear layer on ``rows`` rows."""
    return 2 * rows * d_in * d_out


@dataclass(frozen=True)
class BackboneCost:
    """Operations and bytes of a backbone whose numbers have ``element_size`` bytes each."""

    config: BackboneConfig
    element_size: int = 4

    def text(self, rows: int, tokens: int) -> Phase:
        """Keys and values of cross-attention in all layers, once per clip (nothing where text is a prefix)."""
        if self.config.text != "cross":
            return Phase("text", 1, 0, 0)
        layers, width = self.config.n_layers, self.config.d_model
        made = 2 * rows * tokens * width
        moved = layers * (2 * width * width + made)
        return Phase("text", 1, layers * linear(rows * tokens, width, 2 * width), moved * self.element_size)

    def run(
        self,
        rows: int,
        queries: int,
        keys: int,
        text_rows: int,
        text_tokens: int,
        *,
        layers: int | None = None,
        cached: bool = False,
        times: int | None = None,
    ) -> tuple[int, int]:
        """Operations and bytes of ``layers`` blocks on ``rows`` rows of ``queries`` positions.

        Args:
            keys: positions attended to, the queries included.
            text_rows: rows that read a text (not the null branch of guidance); ignored without cross-attention.
            cached: keys and values of earlier positions are read from the KV cache, and new ones written to it.
            times: rows of the time input; None: one per row.
        """
        c = self.config
        layers = c.n_layers if layers is None else layers
        width, tokens = c.d_model, rows * queries
        flops = linear(tokens, width, 4 * width + 2 * c.d_ff) + 4 * tokens * keys * width
        weights = 4 * width * width + 2 * width * c.d_ff + 4 * width
        moved = 2 * width * rows * keys if cached else 0
        if c.text == "cross":
            flops += linear(text_rows * queries, width, 2 * width) + 4 * text_rows * queries * text_tokens * width
            weights += 2 * width * width + 2 * width
            moved += 2 * width * text_rows * text_tokens
        times = rows if times is None else times
        if c.time == "adaln":
            flops += linear(times, width, 6 * width)
            weights += 6 * width * (width + 1)
        skips = layers // 2 if c.skips else 0
        flops = layers * flops + skips * linear(tokens, 2 * width, width)
        numbers = layers * (weights + moved) + skips * 2 * width * width + 2 * width
        if c.time != "none":
            flops += linear(times, TIME_CODE, width) + linear(times, width, width)
            numbers += (TIME_CODE + width + 2) * width
        return flops, numbers * self.element_size
