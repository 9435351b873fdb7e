"""Samplers against slow and plain versions of themselves: draws, KV caches, and mar's order of unmasking."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.backbones.cache import TextMemory
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.ar import AR, ARSampler, draw
from paradigm_bench.paradigms.base import Batch
from paradigm_bench.paradigms.delay import columns, delay, pattern_mask
from paradigm_bench.paradigms.guidance import scale_at
from paradigm_bench.paradigms.heads import HeadSampler
from paradigm_bench.paradigms.mar import MAR
from paradigm_bench.paradigms.masks import DROPS, TruncatedNormal, cosine_counts
from paradigm_bench.paradigms.mntp import MNTP
from tests.helpers import BACKBONE, assert_greedy, make, sample, some_batch, some_conditions

P = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2])
PREFIX = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, text="prefix", positions="rotary", skips=True)
MAE_PREFIX = dataclasses.replace(PREFIX, skips=False)
SIX_OF_TEN = TruncatedNormal(mean=0.6, std=1.0, low=0.6, high=0.6)


def frequencies(logits: Tensor, **settings: float) -> Tensor:
    """Frequency of each class over 10,001 evenly spread uniforms, so that it equals the probability within 1e-3."""
    uniforms = torch.linspace(0, 1, 10_001)[:-1]
    codes = draw(logits.expand(len(uniforms), -1), uniforms, ARSampler(**settings))
    return torch.bincount(codes, minlength=len(logits)) / len(uniforms)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_k": 0}, P),
        ({"top_k": 5}, P),
        ({"top_k": 2}, torch.tensor([0, 0.4, 0, 0.25, 0]) / 0.65),
        ({"top_k": 1}, torch.tensor([0, 1.0, 0, 0, 0])),
        ({"top_k": 0, "top_p": 0.6}, torch.tensor([0, 0.4, 0, 0.25, 0]) / 0.65),  # 0.4 is short of 0.6, so one more
        ({"top_k": 0, "top_p": 0.7}, torch.tensor([0, 0.4, 0, 0.25, 0.2]) / 0.85),
        ({"top_k": 0, "top_p": 0.01}, torch.tensor([0, 1.0, 0, 0, 0])),
        ({"top_k": 2, "top_p": 0.99}, torch.tensor([0, 0.4, 0, 0.25, 0]) / 0.65),
        ({"top_k": 0, "temperature": 0.5}, P**2 / (P**2).sum()),
        ({"top_k": 0, "temperature": 0.0}, torch.tensor([0, 1.0, 0, 0, 0])),
    ],
)
def test_draw_has_the_asked_distribution(settings: dict, expected: Tensor) -> None:
    assert_close(frequencies(P.log(), **settings), expected, rtol=0, atol=1e-3)


def test_top_k_keeps_exactly_k_of_ties() -> None:
    assert (frequencies(torch.zeros(6), top_k=2) > 0).sum() == 2


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24, 1.0])
def test_draw_at_the_ends_stays_inside(uniform: float) -> None:
    logits = torch.randn(40, 2048, generator=torch.Generator().manual_seed(0)) * 3
    codes = draw(logits, torch.full((40,), uniform), ARSampler(top_k=7))
    assert (logits.gather(1, codes[:, None]) >= logits.topk(7).values[:, -1:]).all()


@pytest.mark.parametrize("backbone", [BACKBONE, PREFIX], ids=["cross", "prefix"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_ar_greedy_equals_uncached_argmax(backbone: BackboneConfig, guidance: float) -> None:
    model, conditions, frames = make("ar", backbone=backbone), some_conditions([4, 2]), 6
    assert isinstance(model, AR)
    codes = sample(model, conditions, frames, [1, 2], temperature=0.0, guidance=guidance)
    column, real = delay(codes, 11), pattern_mask(frames, 3).expand(2, -1, -1)
    assert column.shape[2] == columns(frames, 3)
    assert_greedy(model, column, real, conditions, guidance)
    assert len(codes.unique()) > 2  # or the test would say little


def test_ar_sampling_follows_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("ar")
    wanted = torch.full((11,), -math.inf)
    wanted[:5] = P.log()
    monkeypatch.setattr(model, "logits", lambda column, *_: wanted.expand(len(column), 1, 3, 11))
    codes = sample(model, some_conditions([1] * 20), 50, list(range(20)), top_k=0, guidance=1.0)
    observed, expected = torch.bincount(codes.flatten(), minlength=5), P * codes.numel()
    assert ((observed - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees of freedom, 0.1%


@pytest.mark.parametrize("name", ["mntp", "ntp"])
@pytest.mark.parametrize("backbone", [BACKBONE, PREFIX], ids=["cross", "prefix"])
def test_mntp_cached_sampling_equals_full_passes(name: str, backbone: BackboneConfig) -> None:
    model, conditions, frames = make(name, backbone=backbone, std=0.08), some_conditions([4, 2]), 6
    assert isinstance(model, MNTP)
    settings, noise_BTSD = HeadSampler(diffusion_steps=8, guidance=2.0), ItemRNG([1, 2]).normal(frames, 9, 6)
    text, null = model.read_text(conditions), model.read_text(conditions.null())
    x = model.start.expand(2, 1, -1)
    tokens = []
    for i in range(frames):
        content = torch.arange(i + 1).expand(2, -1)
        z = torch.cat([model.context(x, content, content + 1, words)[:, -1:] for words in (text, null)])
        scale = torch.tensor([1 + (2.0 - 1) * (1 - i / (frames - 1))])
        tokens.append(model.head.sample(z[:, 0], noise_BTSD[:, i].transpose(0, 1), settings, scale)[:, None])
        x = torch.cat([x, model.inputs(tokens[-1])], dim=1)
    ours = sample(model, conditions, frames, [1, 2])
    assert_close(ours, torch.cat(tokens, dim=1), rtol=1e-4, atol=1e-4)


def learnt(model: MNTP, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """What one loss gives to the backbone (``x``, ``content``, ``target``) and, as ``tokens``, to the head."""
    seen: dict[str, Tensor] = {}
    context, head_loss = model.context, model.head.loss

    def spy(x: Tensor, content: Tensor, target: Tensor, text: TextMemory, controls_BTC: None) -> Tensor:
        seen.update(x=x, content=content, target=target)
        return context(x, content, target, text)

    def spy_loss(tokens: Tensor, z: Tensor, rng: ItemRNG) -> Tensor:
        seen.update(tokens=tokens)
        return head_loss(tokens, z, rng)

    monkeypatch.setattr(model, "context", spy)
    monkeypatch.setattr(model.head, "loss", spy_loss)
    model.loss(batch, ItemRNG([1, 2]), ItemRNG([3]))
    return seen


def test_ntp_trains_on_what_it_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing dropped, inputs are the clip shifted by one, at positions 0..T-1."""
    model, batch = make("ntp"), some_batch(some_conditions([2, 3]))
    assert isinstance(model, MNTP)
    seen = learnt(model, batch, monkeypatch)
    assert_close(seen["x"][:, 0], model.start.expand(2, -1))
    assert_close(seen["x"][:, 1:], model.inputs(batch.latents_BTD[:, :-1]))
    assert torch.equal(seen["content"], torch.arange(10).expand(2, -1))
    assert torch.equal(seen["target"], seen["content"] + 1)


def test_mntp_trains_on_the_next_kept_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every input stands at the target of the one before and holds that token; the head is given the target's."""
    model = make("mntp")
    assert isinstance(model, MNTP)
    batch = some_batch(some_conditions([2, 3]))
    monkeypatch.setitem(DROPS, "mixture", (SIX_OF_TEN,))
    seen = learnt(model, batch, monkeypatch)
    content, target = seen["content"], seen["target"]
    assert target.shape == (2, 4)  # 60% of ten frames dropped
    assert (target > content).all()
    assert torch.equal(content, torch.cat([torch.zeros(2, 1, dtype=torch.long), target[:, :-1]], dim=1))
    assert not torch.equal(target[0], target[1])  # each item drops its own
    for row in range(2):
        assert torch.equal(seen["tokens"][row], batch.latents_BTD[row, target[row] - 1])
        assert_close(seen["x"][row, 1:], model.inputs(batch.latents_BTD[row, content[row, 1:] - 1]))


@pytest.mark.parametrize("hidden", ["dropped", "zeroed", "noised"])
def test_hidden_tokens_while_the_next_one_is_predicted(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Yang et al. 2025, table 3 E, C and D: dropping shortens the input, the others put zeros or noise there."""
    model = make("ntp", {"drop": "mixture", "hidden": hidden})
    assert isinstance(model, MNTP)
    batch = some_batch(some_conditions([2, 3]))
    monkeypatch.setitem(DROPS, "mixture", (SIX_OF_TEN,))
    seen = learnt(model, batch, monkeypatch)
    content, target, x = seen["content"], seen["target"], seen["x"]
    assert torch.equal(target, content + 1)
    assert (content[:, 0] == 0).all()
    assert (content.diff() > 0).all()
    assert content.shape == (2, 4 if hidden == "dropped" else 10)
    for row in range(2):
        clip = batch.latents_BTD[row]
        assert torch.equal(seen["tokens"][row], clip[target[row] - 1])
        intact = x[row, 1:].isclose(model.inputs(clip[content[row, 1:] - 1]), rtol=1e-4, atol=1e-5).all(dim=1)
        assert intact.sum() == 3  # of nine inputs: six of ten are hidden
        if hidden == "dropped":
            assert intact.all()
        else:
            zeros = x[row, 1:][~intact].isclose(model.inputs(torch.zeros(6)), rtol=1e-4, atol=1e-5)
            assert bool(zeros.all()) == (hidden == "zeroed")
    if hidden == "dropped":
        assert not torch.equal(content[0], content[1])


@pytest.mark.parametrize("iterations", [3, 64])
def test_mar_may_draw_from_left_to_right(monkeypatch: pytest.MonkeyPatch, iterations: int) -> None:
    model, frames, hidden = make("mar"), 13, []
    assert isinstance(model, MAR)
    context = model.context

    def spy(latents: Tensor, order: Tensor, masked: int, text: TextMemory, controls: None) -> Tensor:
        hidden.append(order[:, :masked].sort(dim=1).values)
        return context(latents, order, masked, text)

    monkeypatch.setattr(model, "context", spy)
    sample(model, some_conditions([4, 2]), frames, [1, 2], iterations=iterations, order="causal")
    left = [frames, *cosine_counts(frames, iterations)[:-1]]
    assert [rows.tolist() for rows in hidden] == [[list(range(frames - n, frames))] * 4 for n in left]


@pytest.mark.parametrize("mae", [True, False])
@pytest.mark.parametrize("iterations", [1, 5, 64])
def test_mar_draws_every_token_once_and_keeps_it(monkeypatch: pytest.MonkeyPatch, mae: bool, iterations: int) -> None:
    """Drawn tokens carry serial numbers: the clip must hold each exactly once, every context all drawn so far."""
    model, frames, drawn, scales = make("mar", {"mae": mae}), 13, [], []
    assert isinstance(model, MAR)
    context = model.context

    def spy_context(latents: Tensor, order: Tensor, masked: int, text: TextMemory, controls: None) -> Tensor:
        for row in range(2):
            kept = sorted(latents[row, order[row, masked:], 0].tolist())
            assert kept == list(range(1, sum(drawn) + 1))
        assert torch.equal(order[:2], order[2:])  # both branches of guidance see the same
        return context(latents, order, masked, text)

    def numbered(z_RC: Tensor, noise_SRD: Tensor, settings: HeadSampler, scale: Tensor) -> Tensor:
        tokens = len(z_RC) // 4  # two items, two branches
        serial = torch.arange(tokens) + 1.0 + sum(drawn)
        drawn.append(tokens)
        scales.append(scale.item())
        return serial.repeat(2)[:, None].expand(-1, 6).clone()

    monkeypatch.setattr(model, "context", spy_context)
    monkeypatch.setattr(model.head, "sample", numbered)
    clips = sample(model, some_conditions([4, 2]), frames, [1, 2], iterations=iterations, guidance=3.0)
    assert clips[:, :, 0].sort(dim=1).values.tolist() == [list(range(1, frames + 1))] * 2
    assert not torch.equal(clips[0], clips[1])  # each item has its own order
    counts = cosine_counts(frames, iterations)
    assert drawn == [before - after for before, after in zip([frames, *counts[:-1]], counts)]
    assert scales == pytest.approx([scale_at("linear", 3.0, 1 - count / frames) for count in counts])


@pytest.mark.parametrize(
    ("backbone", "mae"), [(BACKBONE, True), (BACKBONE, False), (PREFIX, False), (MAE_PREFIX, True)]
)
@torch.no_grad()
def test_mar_sampling_equals_plain_passes(backbone: BackboneConfig, mae: bool) -> None:
    """Each branch of guidance in a pass of its own, and the noise drawn where it is used."""
    model = make("mar", {"mae": mae}, backbone=backbone, std=0.08)
    assert isinstance(model, MAR)
    conditions, frames, rng = some_conditions([4, 2]), 7, ItemRNG([1, 2])
    text, null = model.read_text(conditions), model.read_text(conditions.null())
    order, latents, masked = rng.permutation(frames), torch.zeros(2, frames, 6), frames
    for remaining in cosine_counts(frames, 4):
        reveal = order[:, remaining:masked, None].expand(-1, -1, 6)
        wide = order[:, remaining:masked, None].expand(-1, -1, 32)
        z = torch.cat([model.context(latents, order, masked, words).gather(1, wide) for words in (text, null)])
        noise = rng.normal(9, masked - remaining, 6).transpose(0, 1).flatten(1, 2)
        scale = torch.tensor([1 + (2.0 - 1) * (1 - remaining / frames)])
        tokens = model.head.sample(z.flatten(0, 1), noise, HeadSampler(diffusion_steps=8, guidance=2.0), scale)
        latents, masked = latents.scatter(1, reveal, tokens.view(2, -1, 6)), remaining
    assert_close(sample(model, conditions, frames, [1, 2]), latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mae", [True, False])
@pytest.mark.parametrize("text", ["cross", "prefix"])
def test_mar_context_hides_the_masked_and_shows_the_kept(mae: bool, text: str) -> None:
    model = make("mar", {"mae": mae}, backbone=BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=64, text=text))
    assert isinstance(model, MAR)
    words = model.read_text(some_conditions([4]))
    latents, order = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0)), ItemRNG([4]).permutation(8)
    base = model.context(latents, order, 5, words)
    hidden, shown = latents.clone(), latents.clone()
    hidden[0, order[0, :5]] += 9.0
    shown[0, order[0, 6]] += 9.0
    assert torch.equal(model.context(hidden, order, 5, words), base)
    assert ((model.context(shown, order, 5, words) - base).abs().amax(dim=2) > 1e-3).all()
    # The order among the masked, and among the kept, is nobody's business.
    shuffled = torch.cat([order[:, :5].flip(1), order[:, 5:].flip(1)], dim=1)
    assert_close(model.context(latents, shuffled, 5, words), base, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_mar_halves_are_one_stack_where_nothing_is_masked() -> None:
    """Then the encoder drops nothing: what differs is that positions are added again between the halves. Of text that
    is a prefix the decoder reads what the encoder made of it.
    """
    backbone = dataclasses.replace(MAE_PREFIX, n_layers=4)
    model = make("mar", backbone=backbone)
    assert isinstance(model, MAR)
    text, latents = model.read_text(some_conditions([4, 2])), torch.randn(2, 8, 6)
    h = torch.cat([model.buffer.expand(2, -1, -1), model.inputs(latents)], dim=1)
    plain = model.backbone(h, text)[:, len(model.buffer) :]  # rotary positions are not added
    assert_close(model.context(latents, ItemRNG([1, 2]).permutation(8), 0, text), plain, rtol=1e-4, atol=1e-5)


def test_mar_loss_is_on_the_masked_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, seen = make("mar", {"ratio": {"mean": 0.7, "std": 1.0, "low": 0.7, "high": 0.7}}), None, {}
    assert isinstance(model, MAR)
    batch = some_batch(some_conditions([2, 3]))
    context = model.context

    def spy(latents: Tensor, order: Tensor, masked: int, text: TextMemory, controls: None) -> Tensor:
        seen.update(order=order, masked=masked)
        return context(latents, order, masked, text)

    def spy_loss(tokens: Tensor, z: Tensor, rng: ItemRNG) -> Tensor:
        seen.update(tokens=tokens)
        return tokens.sum(dim=(1, 2))

    monkeypatch.setattr(model, "context", spy)
    monkeypatch.setattr(model.head, "loss", spy_loss)
    model.loss(batch, ItemRNG([1, 2]), ItemRNG([3]))
    assert seen["masked"] == 7
    for row in range(2):
        assert torch.equal(seen["tokens"][row], batch.latents_BTD[row, seen["order"][row, :7]])
