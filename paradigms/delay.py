"""The delay pattern of MusicGen (Copet et al. 2023; Tal et al. 2025, section 3.2): codebook i is shifted by i steps.

With P(i, j) = (i, j + i - 1) (1-based), K codebooks of T frames become T + K - 1 columns, after one start column of
special tokens: T = 500 and K = 4 give 504 columns and 503 decoding steps. Cells outside the pattern hold the special
token, whose id is the cardinality. audiocraft trains on 501 columns only; here the last columns are kept, so that all
tokens are trained on and sampling meets no untrained position.
"""

from __future__ import annotations

import torch
from torch import Tensor


def columns(frames: int, codebooks: int) -> int:
    """Number of columns of the delayed sequence, the start column included."""
    return frames + codebooks


def delay(codes_BKT: Tensor, special: int) -> Tensor:
    """Apply the pattern: (B, K, T) -> (B, K, T + K), start column first."""
    batch, codebooks, frames = codes_BKT.shape
    delayed = codes_BKT.new_full((batch, codebooks, columns(frames, codebooks)), special)
    for k in range(codebooks):
        delayed[:, k, 1 + k : 1 + k + frames] = codes_BKT[:, k]
    return delayed


def undelay(delayed_BKS: Tensor) -> Tensor:
    """Undo the pattern: (B, K, T + K) -> (B, K, T)."""
    codebooks = delayed_BKS.shape[1]
    frames = delayed_BKS.shape[2] - codebooks
    return torch.stack([delayed_BKS[:, k, 1 + k : 1 + k + frames] for k in range(codebooks)], dim=1)


def pattern_mask(frames: int, codebooks: int, device: torch.device | str = "cpu", first: int = 0) -> Tensor:
    """True where the delayed sequence holds a real token of frame ``first`` or later, (K, T + K)."""
    column = torch.arange(columns(frames, codebooks), device=device)[None]
    begin = 1 + torch.arange(codebooks, device=device)[:, None]
    return (column >= begin + first) & (column < begin + frames)
