"""Filling the middle with a causal model (Bavarian et al. 2022; papers/002 appendix J).

A clip of segments A, B, C, of which B is to be filled, is put as <a> A <c> C <b> B: what is known comes first, and a
special token before each segment says which one begins. Since the length of B is given, no end token is needed.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .base import Conditions
from .controls import WITHHELD

SEGMENTS = "acb"
"""The segments, and with them their special tokens, in the order in which they are put."""


def span(known_T: list[bool]) -> tuple[int, int]:
    """First frame of the hidden span, and of what comes after it.

    Raises:
        ValueError: nothing is hidden, or more than one span.
    """
    hidden = [i for i, known in enumerate(known_T) if not known]
    if not hidden or hidden[-1] - hidden[0] + 1 != len(hidden):
        raise ValueError("inpainting fills exactly one span of frames")
    return hidden[0], hidden[-1] + 1


def check_spans(known_BT: Tensor) -> None:
    """Check every row as ``span`` does; waits for the device.

    Raises:
        ValueError: nothing is hidden in a row, or more than one span.
    """
    for known_T in known_BT.tolist():
        span(known_T)


def arrangement(known_BT: Tensor) -> Tensor:
    """Order (B, T + 3) in which frames are put: a frame's index, or -1, -2, -3 for the tokens of A, C, B.

    A sort by segment, tokens before frames, that keeps the order in time.
    """
    batch, frames = known_BT.shape
    passed_BT = (~known_BT).to(torch.int64).cumsum(dim=1) > 0  # the hidden span has begun
    segment_BT = torch.where(known_BT, passed_BT.to(torch.int64), 2)
    tokens = torch.arange(len(SEGMENTS), device=known_BT.device)
    rank = torch.cat([(2 * tokens).expand(batch, -1), 2 * segment_BT + 1], dim=1)
    placed = torch.cat([-1 - tokens, torch.arange(frames, device=known_BT.device)]).expand(batch, -1)
    return placed.gather(1, rank.argsort(dim=1, stable=True))


def arrange(codes_BKT: Tensor, order_BF: Tensor, first_special: int) -> Tensor:
    """Codes in that order, (B, K, T + 3); the segments' tokens have ids from ``first_special`` on."""
    batch, codebooks, frames = codes_BKT.shape
    special = first_special + torch.arange(len(SEGMENTS), device=codes_BKT.device)
    with_special = torch.cat([codes_BKT, special.expand(batch, codebooks, -1)], dim=2)
    index = torch.where(order_BF < 0, frames - 1 - order_BF, order_BF)
    return with_special.gather(2, index[:, None].expand(-1, codebooks, -1))


def arrange_controls(conditions: Conditions, order_BF: Tensor) -> Conditions:
    """Controls in that order; the segments' tokens have none."""
    index = order_BF.clamp(min=0)
    arranged = {
        name: torch.where(order_BF < 0, WITHHELD, tokens.gather(1, index))
        for name, tokens in conditions.controls.items()
    }
    return replace(conditions, controls=arranged)


def context_first(known_BT: Tensor) -> Tensor:
    """Order (B, T) with the known frames first and then the hidden ones, each in time's order."""
    return (~known_BT).to(torch.int8).argsort(dim=1, stable=True)
