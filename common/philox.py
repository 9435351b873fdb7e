"""Philox4x64-10, a counter-based generator of random bits (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3", section 3.3), for many streams at once and on any device.

A stream is a key; its words are a function of the key and of a counter, so that any part of a stream can be computed
on its own. On the CPU numpy's generator of the same name computes the words; on other devices ``philox`` does, by
integer arithmetic on tensors. Both give the same bits (``tests/unit/common/test_seeds.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
LOW = 0xFFFFFFFF
WORDS_AHEAD = 2**20
"""Least number of words, over all streams, that one call of ``philox`` computes, since a call takes 250 kernels."""


def philox(keys_B: Tensor, first: int, blocks: int) -> Tensor:
    """Blocks ``first`` to ``first + blocks`` of each stream, (B, 4 blocks) int64, where block i has counter i + 1.

    Tensors have no unsigned 64-bit products, so words are int64 with the same bits and products are put together from
    halves of 32 bits.
    """
    device = keys_B.device
    multipliers = _words(MULTIPLIERS, device)
    halves = (multipliers & LOW, (multipliers >> 32) & LOW)
    counter = torch.arange(first + 1, first + 1 + blocks, device=device).expand(len(keys_B), -1)
    nothing = torch.zeros_like(counter)
    even_2BN, odd_2BN = torch.stack([counter, nothing]), torch.stack([nothing, nothing])  # words 0 and 2; 1 and 3
    key_2B1 = torch.stack([keys_B, torch.zeros_like(keys_B)])[..., None]
    key_steps = _words(KEY_STEPS, device)
    for _ in range(ROUNDS):
        high, low = _product(even_2BN, multipliers, halves)
        even_2BN = high.flip(0) ^ odd_2BN ^ key_2B1
        odd_2BN = low.flip(0)
        key_2B1 = key_2B1 + key_steps
    return torch.stack([even_2BN[0], odd_2BN[0], even_2BN[1], odd_2BN[1]], dim=-1).flatten(1)


def _words(values: tuple[int, int], device: torch.device) -> Tensor:
    """Two unsigned words as int64 with the same bits, (2, 1, 1), made on the device without a copy from the host."""
    signed = [value - 2**64 if value >= 2**63 else value for value in values]
    return torch.stack([torch.full((1, 1), value, dtype=torch.int64, device=device) for value in signed])


def _product(x: Tensor, factor: Tensor, halves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """High and low words of the unsigned 128-bit products of ``x`` and ``factor``, whose low and high halves are given.

    ``>>`` copies the sign, so each shift to the right is followed by a mask.
    """
    low, high = x & LOW, (x >> 32) & LOW
    middle = high * halves[0] + ((low * halves[0] >> 32) & LOW)
    cross = low * halves[1] + (middle & LOW)
    return high * halves[1] + ((middle >> 32) & LOW) + ((cross >> 32) & LOW), x * factor


class Streams:
    """One stream of random words per seed, read from its beginning.

    Args:
        seeds: one per stream, from 0 to 2**63 - 1.
        device: on which the words are computed.

    Raises:
        ValueError: no seed, or one out of range.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.seeds, self.device = [int(seed) for seed in seeds], device
        if not self.seeds:
            raise ValueError("random streams need a seed each, and there is none")
        if min(self.seeds) < 0 or max(self.seeds) >= 2**63:
            raise ValueError(f"seeds must lie between 0 and 2**63 - 1: {min(self.seeds)} to {max(self.seeds)}")
        self._host = [np.random.Philox(key=seed) for seed in self.seeds] if device.type == "cpu" else []
        self._keys_B = torch.tensor(self.seeds, dtype=torch.int64).to(device, non_blocking=True)
        self._ahead_BN = torch.empty(len(self.seeds), 0, dtype=torch.int64, device=device)
        self._blocks = 0

    def words(self, count: int) -> Tensor:
        """The next ``count`` words of every stream, (B, count) int64."""
        if self._host:
            words_BN = np.empty((len(self._host), count), dtype=np.uint64)
            for row, generator in zip(words_BN, self._host):
                row[:] = generator.random_raw(count)
            return torch.from_numpy(words_BN.view(np.int64))
        if self._ahead_BN.shape[1] < count:
            self._make(count - self._ahead_BN.shape[1])
        taken, self._ahead_BN = self._ahead_BN[:, :count], self._ahead_BN[:, count:]
        return taken

    def _make(self, count: int) -> None:
        blocks = -(-max(count, WORDS_AHEAD // len(self.seeds)) // 4)
        made = philox(self._keys_B, self._blocks, blocks)
        self._blocks += blocks
        self._ahead_BN = torch.cat([self._ahead_BN, made], dim=1)
