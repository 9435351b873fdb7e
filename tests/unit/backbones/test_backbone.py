"""The shared transformer: caching, masks, causality, time, skips and sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench.backbones import PRESETS, BackboneConfig, preset
from paradigm_bench.backbones.attention import View
from paradigm_bench.backbones.cache import KVCache
from paradigm_bench.backbones.positions import sinusoid
from paradigm_bench.backbones.transformer import Backbone
from paradigm_bench.common.errors import UserError
from tests.helpers import perturb

SMALL = BackboneConfig(d_model=32, n_layers=4, n_heads=4, d_ff=48)
TEXTS, POSITIONS = ["cross", "prefix", "none"], ["sinusoidal", "learned", "rotary"]
MASK_BL = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)


def backbone(**options: object) -> Backbone:
    torch.manual_seed(0)
    return perturb(Backbone(replace(SMALL, **options)), 0.1).eval()


def inputs(frames: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, frames, 32, generator=generator), torch.randn(3, 5, 32, generator=generator)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(("skips", "bucket"), [(False, 1), (True, 4)])
def test_cached_decoding_equals_the_full_pass(text: str, positions: str, skips: bool, bucket: int) -> None:
    model, (x, words) = backbone(text=text, positions=positions, skips=skips), inputs(9)
    memory = model.read(words, MASK_BL)
    cache = KVCache(model.config, 3, 9 + 5, bucket=bucket)
    model.prefill(memory, cache)
    chunks = []
    for part in x.split([3, 1, 1, 2, 1, 1], dim=1):
        chunks.append(model(part, memory, cache=cache))
        cache.advance(part.shape[1])
    assert_close(torch.cat(chunks, dim=1), model(x, memory), rtol=1e-5, atol=1e-5)


def test_cache_refuses_to_overflow() -> None:
    model, (x, _) = backbone(text="none"), inputs()
    with pytest.raises(ValueError, match="holds 2 positions, 3 asked"):
        model(x[:, :3], cache=KVCache(model.config, 3, 2))


def test_a_cache_that_was_reset_reads_nothing_old() -> None:
    model, (x, words) = backbone(), inputs()
    memory, cache = model.read(words, MASK_BL), KVCache(model.config, 3, 7, bucket=4)
    for layer in cache.layers:
        layer.fill_(1e3)
    cache.reset()
    assert_close(model(x, memory, cache=cache), model(x, memory), rtol=1e-5, atol=1e-5)


def test_a_memory_copied_into_another_is_read_instead() -> None:
    model, (x, words) = backbone(), inputs()
    held, other = (model.read(text, MASK_BL) for text in (words, words.flip(-1)))
    held.copy_(other)
    assert torch.equal(model(x, held), model(x, other))


@torch.no_grad()
def test_rows_left_out_of_the_memory_have_no_text() -> None:
    """The null branch of guidance: skipped, and equal to a branch whose text is masked out."""
    model, (x, words) = backbone(), inputs()
    only_first = model.read(words[:2], MASK_BL[:2])
    masked = model.read(words, MASK_BL & torch.tensor([True, True, False])[:, None])
    assert_close(model(x, only_first), model(x, masked), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", ["cross", "prefix"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("causal", [True, False])
def test_neither_padding_nor_batch_mates_matter(text: str, positions: str, causal: bool) -> None:
    model, (x, words) = backbone(text=text, positions=positions, causal=causal), inputs()
    whole = model(x, model.read(words, MASK_BL))
    assert whole.isfinite().all()
    longer = torch.cat([words, torch.full((3, 4, 32), 1e3)], dim=1)
    assert_close(
        model(x, model.read(longer, torch.cat([MASK_BL, torch.zeros(3, 4, dtype=torch.bool)], dim=1))),
        whole,
        rtol=1e-5,
        atol=1e-5,
    )
    for row, length in ((0, 3), (1, 5), (2, 1)):
        alone = model(x[row : row + 1], model.read(words[row : row + 1, :length], MASK_BL[row : row + 1, :length]))
        assert_close(alone, whole[row : row + 1], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(
        model(x, model.read(words.flip(-1), MASK_BL))[:2], whole[:2], atol=1e-2
    )  # real tokens do matter


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("causal", [True, False])
def test_who_sees_whom(text: str, causal: bool) -> None:
    model, (x, words) = backbone(text=text, causal=causal), inputs()
    before, changed = model(x, model.read(words, MASK_BL)), x.clone()
    changed[:, 4] = changed[:, 4].flip(-1)
    moved = (model(changed, model.read(words, MASK_BL)) - before).abs().amax(dim=(0, 2))
    assert (moved[4:] > 1e-3).all()
    assert bool((moved[:4] == 0).all()) is causal


def test_the_null_condition_adds_exactly_nothing() -> None:
    model, (x, words) = backbone(), inputs()
    nothing = torch.zeros_like(MASK_BL)
    assert (model.blocks[0].cross_attention(x, model.read(words, nothing).layer(0)) == 0).all()
    assert torch.equal(model(x, model.read(words, nothing)), model(x))


def test_rotary_positions_are_relative() -> None:
    model, (x, _) = backbone(positions="rotary", text="none"), inputs()
    positions = torch.arange(7).expand(3, -1)
    assert_close(model(x, positions_BT=positions + 11), model(x), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(model(x, positions_BT=positions * 3), model(x), atol=1e-2)


@pytest.mark.parametrize("positions", POSITIONS)
def test_given_positions_follow_their_tokens(positions: str) -> None:
    """Without causality, a sequence is a set of (token, position) pairs: shuffling both shuffles the output."""
    model, (x, words) = backbone(positions=positions, causal=False), inputs()
    order = torch.tensor([3, 0, 6, 1, 2, 5, 4])
    shuffled = model(x[:, order], model.read(words, MASK_BL), positions_BT=order.expand(3, -1))
    assert_close(shuffled, model(x, model.read(words, MASK_BL))[:, order], rtol=1e-5, atol=1e-5)


def test_sinusoid_is_musicgens() -> None:
    modeling = pytest.importorskip("transformers.models.musicgen.modeling_musicgen")
    table = modeling.MusicgenSinusoidalPositionalEmbedding.get_embedding(600, 48)
    assert_close(sinusoid(torch.arange(600), 48), table, rtol=0, atol=1e-4)  # they compute angles in float32 too


def test_adaln_is_the_identity_at_first_and_then_depends_on_time() -> None:
    torch.manual_seed(0)
    model, (x, words) = Backbone(replace(SMALL, time="adaln")), inputs()
    time = torch.tensor([0.1, 0.5, 0.9])
    assert torch.equal(model(x, model.read(words, MASK_BL), time_B=time), model(x, model.read(words, MASK_BL)))
    perturb(model, 0.1)
    assert_per_item_time(model, x, words, time)


def test_added_time_changes_the_output() -> None:
    model, (x, words) = backbone(time="add"), inputs()
    assert_per_item_time(model, x, words, torch.tensor([0.1, 0.5, 0.9]))


def assert_per_item_time(model: Backbone, x: Tensor, words: Tensor, time: Tensor) -> None:
    """Each row follows its own time and nobody else's."""
    here, later = (
        model(x, model.read(words, MASK_BL), time_B=t) for t in (time, time + torch.tensor([0.0, 0.02, 0.0]))
    )
    assert torch.equal(here[[0, 2]], later[[0, 2]])
    assert not torch.allclose(here[1], later[1], atol=1e-3)


def test_skips_join_what_the_paper_says() -> None:
    """Tal et al. 2025, E.3.1, 1-based, 2N blocks: block i >= N + 1 reads Linear(Concat(x, output of block 2N - i))."""
    model, (x, _) = backbone(skips=True, text="none"), inputs()
    output = {0: model.embed(x)}
    for i in range(1, 5):
        h = output[i - 1]
        if i >= 3:
            h = torch.cat([h, output[4 - i]], dim=-1) @ model.skip_projections[i - 3].weight.T
        output[i] = model.blocks[i - 1](h, i - 1, View(True, None, None), None, None, None)
    assert_close(model(x), model.norm_out(output[4]), rtol=1e-5, atol=1e-5)


def test_skips_begin_as_the_model_without_them() -> None:
    skipping, plain, (x, words) = Backbone(replace(SMALL, skips=True)), Backbone(SMALL), inputs()
    plain.load_state_dict(skipping.state_dict(), strict=False)
    assert_close(skipping(x, skipping.read(words, MASK_BL)), plain(x, plain.read(words, MASK_BL)))


def count(config: BackboneConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in Backbone(config).parameters())


def test_parameter_counts() -> None:
    linears, norms = 24 * (4 + 4 + 8) * 1024**2, (24 * 3 + 1) * 2 * 1024
    assert linears == pytest.approx(402.7e6, rel=2e-4)  # published inconsistency X19
    assert count(preset("400m")) == linears + norms
    assert count(preset("400m", skips=True)) - count(preset("400m")) == 12 * 2048 * 1024  # X18: 25.2M, not 7M
    # The papers' 193M and 462M count head and embeddings too.
    for name, millions in (("tiny", 1.1), ("small", 28.4), ("193m", 173), ("462m", 407)):
        assert count(preset(name)) == pytest.approx(millions * 1e6, rel=0.05), name


def test_bad_configs_name_the_culprit() -> None:
    with pytest.raises(UserError, match="did you mean 'small'"):
        preset("smal")
    for bad, culprit in (
        ({"n_heads": 3}, "n_heads 3"),
        ({"n_layers": 3, "skips": True}, "n_layers must be even"),
        ({"d_model": 12, "positions": "rotary"}, "even head width"),
    ):
        with pytest.raises(UserError, match=culprit):
            replace(PRESETS["tiny"], **bad)
