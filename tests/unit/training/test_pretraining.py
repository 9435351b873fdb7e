"""Unconditional pre-training: what its updates see, how the second phase begins, and that it resumes exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_training import tiny
from training_toys import LATENT, SPEC, Coder, Denoiser, ToySplit, ToyText, acting, curve, interrupt, run, toy_stream

from paradigm_bench import paradigms
from paradigm_bench.common.config import config_hash, to_dict
from paradigm_bench.common.errors import UserError
from paradigm_bench.representations.text.encoders import NoText, TextSpec
from paradigm_bench.training import TrainSpec
from paradigm_bench.training.data import BatchStream
from paradigm_bench.training.optimiser import EMA, make_optimisers
from paradigm_bench.training.spec import learning_rate

PHASED = dataclasses.replace(SPEC, pretraining=5)  # of 12 updates


def test_pretraining_sees_the_same_crops_without_text_or_controls() -> None:
    plain, phased = toy_stream(SPEC, controlled=True), toy_stream(PHASED, controlled=True)
    for update in range(1, 13):
        (theirs, their_rng), (ours, our_rng) = plain.batch(update), phased.batch(update)
        assert torch.equal(ours.latents_BTD, theirs.latents_BTD)
        assert torch.equal(our_rng.normal(2), their_rng.normal(2))
        if update > 5:
            assert torch.equal(ours.conditions.text_mask_BL, theirs.conditions.text_mask_BL)
            continue
        assert not ours.conditions.text_mask_BL.any()
        assert all(bool((tokens_BT == -1).all()) for tokens_BT in ours.conditions.controls.values())
        assert not any(item.keep_text for item in phased.plan(update))


def test_another_corpus_without_captions_is_heard_first_and_only_then() -> None:
    silent = ToySplit(4)
    silent.clips = [dataclasses.replace(clip, id=f"silent{i}", caption="") for i, clip in enumerate(silent.clips)]
    stream = BatchStream(ToySplit(), LATENT, ToyText(), PHASED, silent)  # type: ignore[arg-type]
    ids = [{item.clip_id[:-1] for item in stream.plan(update)} for update in range(1, 13)]
    assert ids == [{"silent"}] * 5 + [{"clip"}] * 7
    assert len({stream.fingerprint, toy_stream(PHASED).fingerprint, toy_stream().fingerprint}) == 3
    with pytest.raises(
        UserError, match="clip silent0 has no caption; add one, or use its corpus for pre-training only"
    ):
        BatchStream(silent, LATENT, ToyText(), SPEC)  # type: ignore[arg-type]


def test_null_text_is_as_wide_as_the_models() -> None:
    text, mask_BL = NoText(TextSpec("embeddings", 7, (), 5)).encode(["a", ""])
    assert (text.shape, text.dtype, bool(mask_BL.any())) == ((2, 1, 7), torch.float32, False)
    assert NoText(ToyText.spec).encode(["a", ""])[0].tolist() == [[0], [0]]


def test_each_phase_has_a_schedule_of_its_own() -> None:
    spec = TrainSpec(updates=150, pretraining=40, warmup=10, lr=2.0)
    alone = [TrainSpec(updates=updates, warmup=10, lr=2.0) for updates in (40, 110)]
    expected = [learning_rate(phase, update) for phase in alone for update in range(1, phase.updates + 1)]
    assert [learning_rate(spec, update) for update in range(1, 151)] == expected


def test_the_second_phase_starts_from_the_average_with_a_fresh_optimiser(tmp_path: Path) -> None:
    """The same by hand: two trainings, the second from the first one's averaged weights."""
    result = run(tmp_path, PHASED)
    model, stream, first = Denoiser().train(), toy_stream(PHASED), 1
    for phase in (range(1, 6), range(6, 13)):
        spec = dataclasses.replace(SPEC, updates=len(phase))
        (optimiser,), ema = make_optimisers(model, spec), EMA(model, spec.ema_decay)
        for n, update in enumerate(phase, 1):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(spec, n)
            batch, rng = stream.batch(update)
            optimiser.zero_grad()
            model.loss(batch, rng, stream.shared(update)).mean.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
            optimiser.step()
            ema.update(n)
        ema.swap()
        first += len(phase)
    found = load_file(result.final / "model.safetensors")
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("at", [4, 5, 6])
@pytest.mark.parametrize("kind", [Denoiser, Coder])
def test_stopped_around_the_switch_and_resumed_is_identical(tmp_path: Path, at: int, kind: Any) -> None:
    whole = run(tmp_path / "whole", PHASED, kind())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", PHASED, acting(kind(), at, interrupt))
    again = run(tmp_path / "cut", PHASED, kind())
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    ours, theirs = (load_file(result.final / "model.safetensors") for result in (again, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", paradigms.names())
def test_every_paradigm_pretrains_and_its_text_layers_wait(tmp_path: Path, name: str) -> None:
    """Words reach no weight before the second phase, and all paradigms resume across the switch."""
    spec = dataclasses.replace(SPEC, updates=6, pretraining=3, warmup=1, weight_decay=0.0, snapshots=(3,))
    whole, start = run(tmp_path / "whole", spec, tiny(name), save=None), tiny(name)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", spec, acting(tiny(name), 3, interrupt), save=None)
    again = run(tmp_path / "cut", spec, tiny(name), save=None)
    then, final, cut = (
        dict(paradigms.load(folder).named_parameters()) for folder in (whole.snapshots[3], whole.final, again.final)
    )
    assert all(torch.equal(final[key], cut[key]) for key in final)
    for key, initial in start.named_parameters():
        waits = any(part in key for part in ("text_conditioner", "cross_attention", "norm_cross"))
        assert torch.equal(then[key], initial) == waits, key
        assert not (waits and torch.equal(final[key], initial)), key


def test_without_pretraining_identities_are_as_before() -> None:
    assert "pretraining" not in to_dict(TrainSpec())
    assert to_dict(PHASED)["pretraining"] == 5
    assert config_hash(TrainSpec()) == config_hash(TrainSpec(pretraining=0)) == "701cce56cbf4"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pretraining": 1000}, r"train.pretraining is 1000 but must be 0 or more, below train.updates \(1000\)"),
        ({"pretraining": 50}, r"train.warmup is 100 but must lie between 0 and the length of the shorter .* \(50\)"),
        ({"pretraining": 500, "budget": {"unit": "wall_seconds", "amount": 9.0}}, "a budget in updates or tokens"),
    ],
)
def test_impossible_phases_are_named(wrong: dict[str, Any], message: str) -> None:
    from paradigm_bench.common.config import from_dict

    with pytest.raises(UserError, match=message):
        from_dict(TrainSpec, wrong, "train")
