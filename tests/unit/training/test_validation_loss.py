"""The validation loss: fixed random numbers, averaged weights, and a training that does not notice it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from test_training import tiny
from training_toys import (
    LATENT,
    SPEC,
    Coder,
    Denoiser,
    Toy,
    ToySplit,
    ToyText,
    acting,
    curve,
    held_out,
    interrupt,
    lines,
    run,
    toy_validation,
)

from paradigm_bench import paradigms
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch, Loss
from paradigm_bench.representations.text.encoders import NoText
from paradigm_bench.training import TrainSpec
from paradigm_bench.training.trained import curve as recorded_curve
from paradigm_bench.training.trained import held_out_clips
from paradigm_bench.training.validation import AT_ONCE, HeldOutClips, StratifiedRNG

CPU = Accelerator(cpu=True)


class Watched(Denoiser):
    """Keeps the batches of every loss that is computed without gradients."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        if not torch.is_grad_enabled():
            self.seen = [*getattr(self, "seen", []), (batch, rng.normal(3), shared.uniform(1), self.training)]
        return super().loss(batch, rng, shared)


class Weight(Toy):
    """A loss of 1 for every clip, plus one weight, so that a validation loss shows which weights it is of."""

    def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
        value = self.outputs.bias[0]
        rest = 0 * (self.outputs(self.hidden(batch, batch.latents_BTD)).sum(dim=(1, 2)))
        return Loss.from_items(rest + (value - 5).square())


@pytest.mark.parametrize("kind", [Denoiser, Coder])  # Coder has torch's own dropout
def test_training_with_and_without_it_is_identical(tmp_path: Path, kind: Any) -> None:
    spec = dataclasses.replace(SPEC, validate_every=1, log_every=3)
    with_it = run(tmp_path / "with", spec, kind(), validation=toy_validation(spec))
    without = run(tmp_path / "without", spec, kind())
    assert curve(tmp_path / "with") == curve(tmp_path / "without")
    ours, theirs = (load_file(result.final / "model.safetensors") for result in (with_it, without))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert [update for update, *_ in held_out(tmp_path / "with")] == list(range(13))
    assert not held_out(tmp_path / "without")
    assert without.validation == {}


def test_it_is_the_same_for_every_seed_update_and_batch_size(tmp_path: Path) -> None:
    """Nothing of training decides the clips, their crops, noise, times or masks: a frozen model has one value."""
    still = dataclasses.replace(SPEC, lr=1e-30, weight_decay=0.0)
    values = set()
    for changes in ({}, {"seed": 7}, {"batch": 3}, {"condition_dropout": 0.9}, {"updates": 9}):
        folder = tmp_path / str(len(values)) / "-".join(changes)
        spec = dataclasses.replace(still, **changes)
        run(folder, spec, validation=toy_validation(spec))
        values |= {(loss, error) for _, loss, error in held_out(folder)}
    assert len(values) == 1


def test_about_ten_a_run_or_as_asked_and_at_the_end(tmp_path: Path) -> None:
    for every, expected in ((0, [0, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21]), (8, [0, 8, 16, 21])):
        spec = dataclasses.replace(SPEC, updates=21, validate_every=every)
        result = run(tmp_path / str(every), spec, validation=toy_validation(spec))
        found = [int(update) for update, *_ in held_out(tmp_path / str(every))]
        assert found == expected
        assert result.validation["update"] == found
        assert len(recorded_curve(result.log_path)["update"]) == 21  # lines of validations are no part of it


def test_a_budget_in_wall_time_has_about_ten_too(tmp_path: Path) -> None:
    budget = {"unit": "wall_seconds", "amount": 0.4}
    spec = dataclasses.replace(SPEC, budget=type(SPEC.budget)(**budget))
    run(tmp_path, spec, validation=toy_validation(spec))
    assert 2 <= len(held_out(tmp_path)) <= 11


def test_it_is_the_mean_over_clips_by_the_averaged_weights(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, updates=6, validate_every=2, snapshots=(2, 4))
    result = run(tmp_path, spec, Weight(), validation=toy_validation(spec))
    for update, loss, error in held_out(tmp_path)[1:]:
        folder = result.snapshots.get(int(update), result.final)
        average = float(load_file(folder / "model.safetensors")["outputs.bias"][0])
        assert loss == pytest.approx((average - 5) ** 2)
        assert error == pytest.approx(0, abs=1e-9)


def test_mean_and_standard_error_by_hand() -> None:
    class Rows(Toy):
        def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
            return Loss.from_items(batch.latents_BTD[:, 0, 0] * LATENT.std + LATENT.mean)  # the number of the clip

    held = toy_validation(dataclasses.replace(SPEC, validation_clips=20))
    mean, error = held.loss(Rows(), CPU)  # type: ignore[arg-type]
    assert (mean, error) == pytest.approx((9.5, (35 / 20) ** 0.5))  # of 0 to 19, whose sample variance is 35


def test_clips_keep_their_text_and_controls_and_the_mode_returns(tmp_path: Path) -> None:
    held, model = toy_validation(controlled=True), Watched()
    held.loss(model.train(), CPU)  # type: ignore[arg-type]
    assert model.training
    assert not any(training for *_, training in model.seen)
    assert sum(len(batch.latents_BTD) for batch, *_ in model.seen) == 20
    for batch, *_ in model.seen:
        assert batch.conditions.text_mask_BL.any(dim=1).all()
        assert all((tokens >= 0).all() for tokens in batch.conditions.controls.values())
        assert batch.known_BT is None
    noise = torch.cat([normal for _, normal, *_ in model.seen])
    assert len(torch.unique(noise)) == noise.numel()
    model.seen.clear()
    state = torch.get_rng_state()
    held.loss(model, CPU)  # type: ignore[arg-type]
    assert torch.equal(noise, torch.cat([normal for _, normal, *_ in model.seen]))
    assert torch.equal(torch.get_rng_state(), state)


def test_unconditional_before_the_switch_of_pretraining_and_conditional_after_it(tmp_path: Path) -> None:
    spec, model = dataclasses.replace(SPEC, pretraining=5, validate_every=5, validation_clips=AT_ONCE), Watched()
    run(tmp_path, spec, model, validation=toy_validation(spec, controlled=True))
    told = [bool(batch.conditions.text_mask_BL.any()) for batch, *_ in model.seen]
    assert [update for update, *_ in held_out(tmp_path)] == [0, 5, 10, 12]
    assert told == [False, False, True, True]
    assert not model.seen[0][0].conditions.controls


@pytest.mark.parametrize(("share", "hiding"), [(0.0, 0), (0.5, 2), (1.0, 3)])
def test_as_large_a_share_of_the_batches_hides_a_span(share: float, hiding: int) -> None:
    spec = dataclasses.replace(SPEC, inpainting=share, hidden=0.5, margin=0.125)
    batches = [toy_validation(spec).batch(i) for i in range(3)]
    hidden = [batch.known_BT for batch in batches if batch.known_BT is not None]
    assert len(hidden) == hiding
    for known_BT in hidden:
        assert ((~known_BT).sum(dim=1) == 4).all()
        assert known_BT[:, 0].all()
        assert known_BT[:, -1].all()


@pytest.mark.parametrize("name", paradigms.names())
def test_every_paradigm_has_one_with_text_without_and_with_spans(name: str) -> None:
    model = tiny(name)
    share = 0.5 if model.inpaints and name not in ("ar", "mntp") else 0.0  # these two need an option for it
    held = toy_validation(dataclasses.replace(SPEC, inpainting=share))
    losses = [held.loss(model, CPU, unconditional=bare) for bare in (False, True, False)]
    assert all(loss == loss and 0 < error < abs(loss) for loss, error in losses)
    assert losses[0] == losses[2]
    assert losses[0] != losses[1]


def test_stopped_and_resumed_its_lines_are_identical(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, validate_every=2)
    run(tmp_path / "whole", spec, validation=toy_validation(spec))
    folder = tmp_path / "cut"
    for at in (9, 20):  # counted in losses, those of validations included
        with pytest.raises(KeyboardInterrupt):
            run(folder, spec, acting(Denoiser(), at, interrupt), validation=toy_validation(spec))
    result = run(folder, spec, validation=toy_validation(spec))
    assert held_out(folder) == held_out(tmp_path / "whole")
    assert result.validation["loss"] == [loss for _, loss, _ in held_out(folder)]
    assert len(lines(folder)) == len(lines(tmp_path / "whole"))


def test_uniform_numbers_are_stratified_over_the_clips_and_independent_within_one() -> None:
    n = 40
    parts = [StratifiedRNG(range(p, p + 8), "cpu", range(p, p + 8), n) for p in range(0, n, 8)]
    for draw in ("uniform", "integers"):
        rows = [rng.uniform(50) if draw == "uniform" else rng.integers(1000, 50).double() / 1000 for rng in parts]
        numbers_NM = torch.cat(rows).double()
        strata = (numbers_NM * n + 1e-9).long().sort(dim=0).values
        assert (strata == torch.arange(n)[:, None]).all()
        within = numbers_NM - numbers_NM.mean(dim=0)
        correlation = (within[:, :-1] * within[:, 1:]).mean() / within.square().mean()
        assert abs(correlation) < 0.1
    again = parts[1].again()
    assert torch.equal(again.uniform(50), parts[1].again().uniform(50))


def test_batches_with_fewer_draws_share_the_strata_of_the_others() -> None:
    few, many = (StratifiedRNG([i], "cpu", [i], 2) for i in (0, 1))
    assert (few.uniform(3)[0] < 0.5).ne(many.uniform(9)[0, :3] < 0.5).all()


def test_stratified_times_vary_less_and_have_the_right_mean() -> None:
    """The mean of (1 - t)^2 over 64 clips: 1/3, with a standard deviation of .037 unless stratified."""
    means = {
        kind: torch.stack([(1 - make(range(s, s + 64)).uniform(1)).square().mean() for s in range(0, 6400, 64)])
        for kind, make in {
            "plain": ItemRNG,
            "stratified": lambda seeds: StratifiedRNG(seeds, "cpu", range(64), 64),
        }.items()
    }
    assert means["plain"].std() == pytest.approx(0.298 / 8, rel=0.3)
    assert means["stratified"].std() < 0.002
    assert means["stratified"].mean() == pytest.approx(1 / 3, abs=0.001)


def test_too_few_clips_are_all_used_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert toy_validation(dataclasses.replace(SPEC, validation_clips=3)).clips == 3
    assert not capsys.readouterr().err
    assert toy_validation().clips == 20
    said = "note: 20 clips for the validation loss, all of the valid split that fit, not 64"
    assert capsys.readouterr().err.strip() == said
    assert toy_validation(dataclasses.replace(SPEC, seconds=1.2)).clips == 8  # those of 12 to 14 frames


def test_clips_without_a_caption_are_left_out_unless_text_is_not_read() -> None:
    split: Any = ToySplit(6)
    split.clips[2] = dataclasses.replace(split.clips[2], caption="")
    assert HeldOutClips(split, LATENT, ToyText(), SPEC).clips == 5  # type: ignore[arg-type]
    assert HeldOutClips(split, LATENT, NoText(ToyText.spec), SPEC).clips == 6


def test_a_corpus_without_a_valid_split_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = SimpleNamespace(name="toys", clips_by_split={"train": ["a"]})
    data: Any = SimpleNamespace(corpus=corpus, store=object())
    assert held_out_clips(TrainSpec(), data) is None
    said = "note: corpus toys has no valid split, so there is no validation loss"
    assert capsys.readouterr().err.strip() == said
    assert held_out_clips(TrainSpec(validation_clips=0), data) is None
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", ["validate_every", "validation_clips"])
def test_amounts_out_of_range_are_named(name: str) -> None:
    with pytest.raises(UserError, match=f"train.{name} is -1 but must be 0 or more"):
        TrainSpec(**{name: -1})
