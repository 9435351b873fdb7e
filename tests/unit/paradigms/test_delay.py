"""The delay pattern, and the AR loss that is read off it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.delay import columns, delay, pattern_mask, undelay
from tests.helpers import make, some_batch, some_conditions


@settings(max_examples=50, deadline=None)
@given(batch=st.integers(1, 3), codebooks=st.integers(1, 8), frames=st.integers(1, 40), seed=st.integers(0, 99))
def test_round_trip(batch: int, codebooks: int, frames: int, seed: int) -> None:
    codes = torch.randint(0, 50, (batch, codebooks, frames), generator=torch.Generator().manual_seed(seed))
    delayed = delay(codes, special=50)
    assert torch.equal(undelay(delayed), codes)
    assert delayed.shape == (batch, codebooks, columns(frames, codebooks))
    mask = pattern_mask(frames, codebooks)
    assert torch.equal((delayed != 50), mask.expand(batch, -1, -1))
    assert (mask.sum(dim=1) == frames).all()


def test_columns_of_ten_seconds() -> None:
    assert columns(500, 4) == 504
    delayed = delay(torch.zeros(1, 4, 500, dtype=torch.long), special=1)
    assert delayed.shape[2] == 504
    assert pattern_mask(500, 4)[:, 1:].any(dim=0).sum() == 503  # steps that decode something
    assert (delayed[..., 0] == 1).all()


def test_table_by_hand() -> None:
    codes = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    assert delay(codes, special=9).tolist() == [[[9, 1, 2, 3, 9], [9, 9, 4, 5, 6]]]


def test_pattern_is_transformers_musicgens() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.MusicgenDecoderConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, ffn_dim=8, vocab_size=16, num_codebooks=4
    )
    model, frames = transformers.MusicgenForCausalLM(config), 7
    _, theirs = model.build_delay_pattern_mask(torch.full((4, 1), 16), pad_token_id=16, max_length=columns(frames, 4))
    assert torch.equal(theirs == -1, pattern_mask(frames, 4))


def known_logits(codes: Tensor, correct: Tensor) -> Tensor:
    """Logits (B, T + K - 1, K, 3) that give each real token of codebook k log-odds ``correct[k]``, wild elsewhere."""
    batch, codebooks, frames = codes.shape
    logits = torch.full((batch, frames + codebooks - 1, codebooks, 3), 0.0)
    logits[..., 0] = 1e4  # whatever is predicted in a special cell must not count
    for b in range(batch):
        for k in range(codebooks):
            for i in range(frames):
                logits[b, i + k, k] = 0.0
                logits[b, i + k, k, codes[b, k, i]] = correct[k]
    return logits


def test_loss_by_hand_ignores_specials(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("ar")
    model.codebooks, model.special = 2, 3
    codes = torch.tensor([[[1, 2, 1, 2], [2, 2, 1, 1]], [[2, 1, 1, 2], [1, 2, 2, 1]]])
    batch = some_batch(some_conditions([2, 2]))
    batch = type(batch)(batch.latents_BTD, codes, batch.conditions)
    correct = torch.tensor([0.0, math.log(2.0)])
    monkeypatch.setattr(model, "logits", lambda *_, **__: known_logits(codes, correct))
    loss = model.loss(batch, ItemRNG([0, 1]), ItemRNG([2]))
    # Probability of the true code: 1/3 in codebook 1 and 2/4 in codebook 2, at each of the four frames.
    expected = (math.log(3.0) + math.log(2.0)) / 2
    torch.testing.assert_close(loss.per_item_B, torch.full((2,), expected))
    torch.testing.assert_close(loss.mean, torch.tensor(expected))


def test_loss_of_the_network_by_hand() -> None:
    """Cross-entropy per codebook over exactly its T real tokens, from a loop over cells."""
    model, batch = make("ar"), some_batch(some_conditions([3, 1]), frames=4)
    assert batch.codes_BKT is not None
    with torch.no_grad():
        loss = model.loss(batch, ItemRNG([0, 1]), ItemRNG([2])).per_item_B
        log_p = model.logits(delay(batch.codes_BKT, 11), model.read_text(batch.conditions)).log_softmax(dim=-1)
    for b in range(2):
        cells = [[-log_p[b, i + k, k, batch.codes_BKT[b, k, i]] for i in range(4)] for k in range(3)]
        torch.testing.assert_close(loss[b], torch.tensor(cells).mean(dim=1).mean())
