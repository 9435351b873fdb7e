"""Comparisons of random numbers: equal bits on GPU and CPU, and normal numbers that differ by rounding only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paradigm_bench.common.philox import philox
from paradigm_bench.common.seeds import ItemRNG, seed_for

SEEDS = [0, 1, 2**63 - 1, *(seed_for("check", i) for i in range(5))]
BLOCKS = 4096
NORMAL = 1e-5
"""Limit of the difference of normal numbers. They reach 6.7, where the spacing of fp32 numbers is 5e-7, and logarithm
and cosine are off by one or two spacings."""


def bits(device: str) -> float:
    """Share of 64-bit words that differ from numpy's Philox generator."""
    keys = torch.tensor(SEEDS, dtype=torch.int64, device=device)
    ours = torch.cat([philox(keys, 0, 1000), philox(keys, 1000, BLOCKS - 1000)], dim=1).cpu()
    theirs = np.stack([np.random.Philox(key=seed).random_raw(4 * BLOCKS) for seed in SEEDS])
    return float((ours != torch.from_numpy(theirs.view(np.int64))).double().mean())


def differing(device: str, draw: Callable[[ItemRNG], Tensor]) -> float:
    """Share of draws that differ between the device and the CPU."""
    ours, theirs = (_second_draw(ItemRNG(SEEDS, where), draw) for where in (device, "cpu"))
    return float((ours != theirs).double().mean())


def normal(device: str) -> float:
    """Largest difference of normal numbers between the device and the CPU."""
    ours, theirs = (_second_draw(ItemRNG(SEEDS, where), lambda rng: rng.normal(500, 33)) for where in (device, "cpu"))
    return float((ours - theirs).abs().max())


def _second_draw(rng: ItemRNG, draw: Callable[[ItemRNG], Tensor]) -> Tensor:
    """A draw that does not begin at the beginning of the streams, nor at a whole word."""
    rng.uniform(3)
    return draw(rng).cpu()


def comparisons(device: str) -> Iterator[tuple[str, Any, Any]]:
    """Comparisons: name, function that computes the error, function that returns its limit."""
    draws: dict[str, Callable[[ItemRNG], Tensor]] = {
        "uniform numbers": lambda rng: rng.uniform(500, 33),
        "integers": lambda rng: rng.integers(1000, 777),
        "permutations": lambda rng: rng.permutation(501),
    }
    yield "noise: bits", partial(bits, device), lambda: 0.0
    for name, draw in draws.items():
        yield f"noise: {name}", partial(differing, device, draw), lambda: 0.0
    yield "noise: normal numbers", partial(normal, device), lambda: NORMAL
