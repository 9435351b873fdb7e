"""Random streams: the counter-based generator against numpy's, its distributions, and independence of items."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from paradigm_bench.common import philox as philox_module
from paradigm_bench.common.philox import Streams, philox
from paradigm_bench.common.seeds import ItemRNG, TorchRNG, item_rng

SEEDS = [0, 1, 2**63 - 1, 123456789012345678]


def test_words_on_tensors_are_those_of_numpy() -> None:
    """Two implementations: integer arithmetic on tensors, as GPUs do it, and numpy's compiled one."""
    wanted = np.stack([np.random.Philox(key=seed).random_raw(1001) for seed in SEEDS])
    made = philox(torch.tensor(SEEDS), 0, 251)[:, :1001]
    assert np.array_equal(made.numpy().view(np.uint64), wanted)
    later = philox(torch.tensor(SEEDS), 100, 3)
    assert np.array_equal(later.numpy().view(np.uint64), wanted[:, 400:412])


def test_known_answers_of_the_authors() -> None:
    """Counter and key of zeros, from the test vectors of the authors' Random123 library (kat_vectors)."""
    words = philox(torch.tensor([0]), -1, 1)[0].numpy().view(np.uint64)
    assert [hex(word) for word in words] == [
        "0x16554d9eca36314c", "0xdb20fe9d672d0fdc", "0xd7e772cee186176b", "0x7e68b68aec7ba23b",
    ]  # fmt: skip


class OnTensors(Streams):
    """Streams that make their words on tensors, on the CPU too."""

    def __init__(self, seeds: list[int], device: torch.device) -> None:
        super().__init__(seeds, device)
        self._host = []


@pytest.mark.parametrize("ahead", [1, 64, 2**12])
def test_every_draw_is_the_same_on_tensors(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is made ahead, and whatever was drawn before."""
    wanted = draws(ItemRNG(SEEDS))
    monkeypatch.setattr(philox_module, "Streams", OnTensors)
    monkeypatch.setattr(philox_module, "WORDS_AHEAD", ahead)
    for mine, theirs in zip(draws(ItemRNG(SEEDS)), wanted, strict=True):
        assert torch.equal(mine, theirs)


def draws(rng: ItemRNG) -> list[torch.Tensor]:
    return [
        rng.normal(3), rng.uniform(2, 5), rng.permutation(7), rng.integers(1000, 4), rng.normal(33, 3), rng.uniform(1),
        rng.permutation(65), rng.normal(), rng.normal(2, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("noise", ["philox", "torch"])
def test_an_item_has_its_own_stream(noise: str) -> None:
    """Alone, in another order or in a larger batch an item draws the same."""
    together = draws(item_rng(SEEDS, noise=noise))  # type: ignore[arg-type]
    swapped = draws(item_rng(SEEDS[::-1], noise=noise))  # type: ignore[arg-type]
    for i, seed in enumerate(SEEDS):
        alone = draws(item_rng([seed], noise=noise))  # type: ignore[arg-type]
        for one, all_, reverse in zip(alone, together, swapped, strict=True):
            assert torch.equal(one[0], all_[i])
            assert torch.equal(one[0], reverse[len(SEEDS) - 1 - i])
    again = item_rng(SEEDS, noise=noise)  # type: ignore[arg-type]
    draws(again)
    assert all(torch.equal(one, other) for one, other in zip(draws(again.again()), together, strict=True))
    assert isinstance(again, TorchRNG) == (noise == "torch")


def test_normal_draws_are_normal() -> None:
    """Kolmogorov and Smirnov at 10^6 draws see a shift of 0.002; tails and independence of neighbours beside."""
    z = ItemRNG(range(50)).normal(20000).double().numpy()
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert abs(z.mean()) < 4e-3
    assert abs(z.std() - 1) < 3e-3
    assert stats.kurtosis(z.ravel()) == pytest.approx(0, abs=0.02)
    beyond = (np.abs(z) > 4).mean()
    assert 3e-5 < beyond < 1e-4  # 6.3e-5
    for one, other in ((z[:, :-1], z[:, 1:]), (z[:-1], z[1:]), (z[:, :10000], z[:, 10000:])):  # cosines and sines too
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5e-3
        assert abs(np.corrcoef(one.ravel() ** 2, other.ravel() ** 2)[0, 1]) < 5e-3


def test_uniform_draws_integers_and_orders_are_uniform() -> None:
    rng = ItemRNG(range(40))
    u = rng.uniform(5000).double().numpy()
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    k = rng.integers(1000, 5000).numpy()
    assert k.min() == 0
    assert k.max() == 999
    assert stats.chisquare(np.bincount(k.ravel(), minlength=1000)).pvalue > 1e-3
    orders = torch.cat([ItemRNG(range(i, i + 500)).permutation(4) for i in range(0, 12000, 500)])
    assert torch.equal(orders.sort(dim=1).values, torch.arange(4).expand(len(orders), -1))
    counts = torch.unique(orders, dim=0, return_counts=True)[1]
    assert len(counts) == math.factorial(4)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_streams_of_neighbouring_seeds_share_nothing() -> None:
    words = Streams(range(200), torch.device("cpu")).words(500)
    assert len(words.unique()) == words.numel()


@pytest.mark.parametrize("seeds", [[], [-1], [2**63]])
def test_seeds_out_of_range_are_refused_on_every_device(seeds: list[int]) -> None:
    for device in ("cpu", "meta"):
        with pytest.raises(ValueError, match="seed"):
            ItemRNG(seeds, device)


def test_draws_happen_on_the_device() -> None:
    """On tensors without data nothing could be drawn on the host and moved."""
    for tensor in draws(ItemRNG(SEEDS, "meta")):
        assert tensor.device.type == "meta"
