"""Filling the middle of a clip with a causal model of codes (Bavarian et al. 2022; Tal et al. 2025, appendix J).

A clip of segments A, B, C, of which B is to be filled, is arranged as <a> A <c> C <b> B: the known segments come first,
and a special token before each segment says which one begins. The length of B is given, so no end token is needed.

Every column keeps the position that it has in the clip (``column_times``). Counted along the arranged sequence, a
position would mean another moment of the music in every third update, and a model could not learn when a beat falls.
The sources do not say which positions they use.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .base import Conditions
from .conditioning import WITHHELD

SEGMENTS = "acb"
"""The segments, each with a special token, in the order in which they are arranged."""


def span(known_T: list[bool]) -> tuple[int, int]:
    """First frame of the hidden span, and first frame after it.

    Raises:
        ValueError: no frame is hidden, or more than one span is.
    """
    hidden = [i for i, known in enumerate(known_T) if not known]
    if not hidden or hidden[-1] - hidden[0] + 1 != len(hidden):
        raise ValueError("inpainting fills exactly one span of frames")
    return hidden[0], hidden[-1] + 1


def check_spans(known_BT: Tensor) -> None:
    """Check every row as ``span`` does; waits for the device.

    Raises:
        ValueError: in some row no frame is hidden, or more than one span is.
    """
    for known_T in known_BT.tolist():
        span(known_T)


def arrangement(known_BT: Tensor) -> Tensor:
    """The arranged order (B, T + 3): the index of a frame, or -1, -2, -3 for the special tokens of A, C, B.

    Made by a stable sort by segment, the special token before the frames.
    """
    batch, frames = known_BT.shape
    passed_BT = (~known_BT).to(torch.int64).cumsum(dim=1) > 0  # at or after the first hidden frame
    segment_BT = torch.where(known_BT, passed_BT.to(torch.int64), 2)
    tokens = torch.arange(len(SEGMENTS), device=known_BT.device)
    rank = torch.cat([(2 * tokens).expand(batch, -1), 2 * segment_BT + 1], dim=1)
    placed = torch.cat([-1 - tokens, torch.arange(frames, device=known_BT.device)]).expand(batch, -1)
    return placed.gather(1, rank.argsort(dim=1, stable=True))


def arrange(codes_BKT: Tensor, order_BF: Tensor, first_special: int) -> Tensor:
    """Codes in the order of ``arrangement``, (B, K, T + 3); the special tokens have ids from ``first_special`` on."""
    batch, codebooks, frames = codes_BKT.shape
    special = first_special + torch.arange(len(SEGMENTS), device=codes_BKT.device)
    with_special = torch.cat([codes_BKT, special.expand(batch, codebooks, -1)], dim=2)
    index = torch.where(order_BF < 0, frames - 1 - order_BF, order_BF)
    return with_special.gather(2, index[:, None].expand(-1, codebooks, -1))


def arrange_controls(conditions: Conditions, order_BF: Tensor) -> Conditions:
    """``conditions`` with controls in the order of ``arrangement``; they are withheld at the special tokens."""
    index = order_BF.clamp(min=0)
    arranged = {
        name: torch.where(order_BF < 0, WITHHELD, tokens.gather(1, index))
        for name, tokens in conditions.controls.items()
    }
    return replace(conditions, controls=arranged)


def column_times(order_BF: Tensor, columns: int) -> Tensor:
    """The position of each column of an arranged and delayed sequence, (B, ``columns``).

    It is the time, in frames of the clip, of the frame whose first code the column predicts, as in a clip that is not
    arranged. A column before a special token, and those behind the last frame, follow the last frame that was read.
    """
    column_F = torch.arange(order_BF.shape[1], device=order_BF.device)
    last_BF = torch.where(order_BF < 0, -1, column_F).cummax(dim=1).values  # the last column of a frame, -1: none yet
    times_BF = nn.functional.pad(order_BF, (1, 0), value=-1).gather(1, last_BF + 1) + (order_BF < 0).long()
    after = 1 + torch.arange(columns - order_BF.shape[1], device=order_BF.device)
    return torch.cat([times_BF, times_BF[:, -1:] + after], dim=1)
