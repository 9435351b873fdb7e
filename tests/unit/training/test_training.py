"""The loop: schedule, averages and decay by hand; exact resume; faults; what all arms see."""

from __future__ import annotations

import dataclasses
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_toys import (
    LATENT,
    ROUNDING,
    SPEC,
    Coder,
    Denoiser,
    Toy,
    ToyText,
    acting,
    curve,
    interrupt,
    run,
    save_toy,
    toy_stream,
)

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.common import files
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Batch, Loss
from paradigm_bench.training import TrainSpec, checkpoints
from paradigm_bench.training.loop import train
from paradigm_bench.training.optimiser import EMA, decayed, make_optimisers, matrices
from paradigm_bench.training.results import tidy
from paradigm_bench.training.spec import learning_rate


def test_learning_rate_at_key_points() -> None:
    spec = TrainSpec(updates=110, warmup=10, lr=2.0, final_fraction=0.1)
    rates = [learning_rate(spec, update) for update in (1, 5, 10, 60, 110)]
    assert rates == pytest.approx([0.2, 1.0, 2.0, 1.1, 0.2])
    constant = TrainSpec(updates=110, warmup=0, lr=2.0, schedule="constant")
    assert {learning_rate(constant, update) for update in (1, 50, 110)} == {2.0}


OPTIMISERS = ("adamw", "muon")
WRONG = [
    {"lr": 0},
    {"warmup": 2000},
    {"condition_dropout": 1.5},
    {"snapshots": (0,)},
    {"accumulate": 17},
    {"muon_momentum": 1.5},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_impossible_settings_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"train.{next(iter(wrong))}"):
        TrainSpec(**wrong)


def test_average_by_hand_and_swap() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    ema = EMA(layer, decay=0.2)
    for n, weight in ((1, 2.0), (2, 4.0)):
        nn.init.constant_(layer.weight, weight)
        ema.update(n)
    # d = min(.2, 2/11) = 2/11, then min(.2, 3/12) = .2: (2/11 * 1 + 9/11 * 2) * .2 + .8 * 4
    assert ema.average["weight"].item() == pytest.approx((20 / 11) * 0.2 + 3.2)
    ema.swap()
    assert layer.weight.item() == pytest.approx(3.563636)
    ema.swap()
    assert layer.weight.item() == 4.0


def test_weight_decay_spares_norms_biases_embeddings_and_frozen() -> None:
    model = Denoiser()
    model.mask_token = nn.Parameter(torch.zeros(1, 1, 4))
    assert decayed(model) == ["inputs.weight", "outputs.weight"]
    model.outputs.requires_grad_(False)
    (optimiser,) = make_optimisers(model, SPEC)
    decay, spared = optimiser.param_groups
    assert (decay["weight_decay"], spared["weight_decay"]) == (SPEC.weight_decay, 0.0)
    assert decay["params"] == [model.inputs.weight]
    assert len(spared["params"]) == 6  # words, inputs' bias, norm (2), null_text, mask_token


@pytest.mark.parametrize("name", paradigms.names())
def test_every_parameter_has_one_optimiser_and_muon_steps_the_matrices_of_blocks_alone(name: str) -> None:
    model = tiny(name)
    by_name = dict(model.named_parameters())
    by_name["backbone.blocks.0.ff_in.weight"].requires_grad_(False)
    adamw, muon = make_optimisers(model, dataclasses.replace(SPEC, optimiser="muon", lr=0.5, weight_decay=0.3))
    held = [p for optimiser in (adamw, muon) for group in optimiser.param_groups for p in group["params"]]
    assert len(held) == len(set(held)) == len(by_name) - 1
    hidden = {name for name, p in by_name.items() if p in set(muon.param_groups[0]["params"])}
    per_block = ["cross_attention.kv", "cross_attention.out", "cross_attention.q", "ff_in", "ff_out"]
    per_block += ["self_attention.out", "self_attention.qkv"]
    backbone = {f"backbone.blocks.{i}.{part}.weight" for i in (0, 1) for part in per_block}
    assert {n for n in hidden if n.startswith("backbone.")} == backbone - {"backbone.blocks.0.ff_in.weight"}
    assert all(".blocks." in n and "modulation" not in n for n in hidden)
    settings = muon.param_groups[0]
    assert (settings["lr"], settings["weight_decay"], settings["adjust_lr_fn"]) == (0.5, 0.3, "match_rms_adamw")
    assert matrices(nn.Linear(3, 3)) == []


def test_a_step_of_muon_by_hand() -> None:
    """Decay, then a nearly orthogonal update: all its singular values are about lr 0.2 sqrt(max(rows, columns))."""
    from paradigm_bench.backbones.transformer import Block

    block = Block(BackboneConfig(d_model=16, n_layers=1, n_heads=2, d_ff=32))
    spec = dataclasses.replace(SPEC, optimiser="muon", lr=0.01, weight_decay=0.1)
    weight = block.ff_in.weight
    before, muon = weight.detach().clone(), make_optimisers(block, spec)[-1]
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    muon.step()
    step = (before * (1 - 0.01 * 0.1) - weight.detach()) / (0.01 * 0.2 * max(weight.shape) ** 0.5)
    singular = torch.linalg.svdvals(step)
    assert singular.min() > 0.5  # five Newton-Schulz steps end between 0.5 and 1.5 (Jordan et al. 2024)
    assert singular.max() < 1.5
    assert torch.linalg.svdvals(weight.grad).max() > 3 * torch.linalg.svdvals(weight.grad).min()
    left, _, right = torch.linalg.svd(weight.grad, full_matrices=False)
    assert nn.functional.cosine_similarity((left @ right).flatten(), step.flatten(), dim=0) > 0.97


def tiny(name: str) -> Any:
    """A real paradigm at toy size, its all-zero layers moved a little so that every layer is trained from the start."""
    torch.manual_seed(0)
    backbone = BackboneConfig(d_model=16, n_layers=2, n_heads=2, d_ff=32)
    model = paradigms.build(name, {}, backbone, LATENT, ToyText.spec)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return model


def test_every_arm_sees_the_same_samples_in_the_same_order(tmp_path: Path) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for model in (Denoiser(), Coder(), *map(tiny, paradigms.names())):
        mine, loss = seen.setdefault(model.name, []), model.loss

        def watched(batch: Batch, rng: ItemRNG, shared: ItemRNG, mine: Any = mine, loss: Any = loss) -> Loss:
            mine.extend([batch.latents_BTD, batch.codes_BKT, batch.conditions.text, batch.conditions.text_mask_BL])
            mine.append(torch.tensor(rng.seeds))
            return loss(batch, rng, shared)

        model.loss = watched
        run(tmp_path / model.name, dataclasses.replace(SPEC, updates=3), model)
    assert len(seen) >= 7
    assert len(seen["fm"]) == 3 * 5
    for arm in seen.values():
        assert all(torch.equal(a, b) for a, b in zip(arm, seen["fm"], strict=True))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", paradigms.names())
def test_real_paradigms_resume_exactly_accumulate_and_are_saved_whole(
    tmp_path: Path, name: str, optimiser: Any
) -> None:
    spec = dataclasses.replace(SPEC, updates=4, optimiser=optimiser)
    run(tmp_path / "whole", spec, tiny(name), save=None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", spec, acting(tiny(name), 2, interrupt), save=None)
    result = run(tmp_path / "cut", spec, tiny(name), save=None)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    run(tmp_path / "small", dataclasses.replace(spec, accumulate=4), tiny(name), save=None)
    small, large = (torch.tensor(curve(tmp_path / folder)) for folder in ("small", "whole"))
    torch.testing.assert_close(small, large, rtol=ROUNDING[optimiser], atol=1e-6)
    loaded, whole = (paradigms.load(folder).state_dict() for folder in (result.final, tmp_path / "whole" / "final"))
    assert all(torch.equal(loaded[key], whole[key]) for key in whole)


@pytest.mark.parametrize(("kind", "number"), [(Denoiser, signal.SIGINT), (Coder, signal.SIGTERM)])
def test_interrupted_and_resumed_is_identical_to_the_last_digit(tmp_path: Path, kind: type[Toy], number: int) -> None:
    spec = dataclasses.replace(SPEC, log_every=5)
    whole = run(tmp_path / "whole", spec, kind())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", spec, acting(kind(), 7, lambda loss: interrupt(loss, number)))
    kept = sorted(path.name for path in (tmp_path / "cut").glob("check*"))
    assert kept == ["checkpoint-000004", "checkpoint-000007"]
    again = run(tmp_path / "cut", spec, kind())
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert [line[0] for line in curve(tmp_path / "cut")] == [5, 10, 12]
    ours, theirs = load_file(again.final / "model.safetensors"), load_file(whole.final / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert again.tokens == 12 * 6 * 8


def test_a_line_of_the_log_has_the_mean_of_its_updates(tmp_path: Path) -> None:
    run(tmp_path / "each")
    run(tmp_path / "fifth", dataclasses.replace(SPEC, log_every=5))
    losses = [line[1] for line in curve(tmp_path / "each")]
    means = [sum(losses[:5]) / 5, sum(losses[5:10]) / 5, sum(losses[10:]) / 2]
    assert [line[1] for line in curve(tmp_path / "fifth")] == pytest.approx(means)


@pytest.mark.parametrize(("updates", "log_every"), [(4, 10), (12, 5), (3, 1)])
def test_progress_shows_the_loss_of_the_log_and_no_other(
    updates: int, log_every: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paradigm_bench.training.terminal.SECONDS_BETWEEN_LINES", -1.0)  # a line for every update
    spec = dataclasses.replace(SPEC, updates=updates, log_every=log_every)
    result = train(Denoiser(), toy_stream(spec), spec, tmp_path, device="cpu", save=save_toy)
    said = re.findall(r"update (\d+) \(\d+%\)(?:, loss (\S+))?, ", capsys.readouterr().err)
    assert [int(update) for update, _ in said] == list(range(1, updates + 1))
    logged = {line[0]: f"{line[1]:.4g}" for line in curve(tmp_path)}
    for update, loss in said:
        assert loss == next((logged[at] for at in sorted(logged, reverse=True) if at <= int(update)), "")
    assert said[-1][1] == f"{result.final_loss:.4g}"


def test_micro_batches_give_the_large_batchs_curve(tmp_path: Path) -> None:
    run(tmp_path / "large")
    run(tmp_path / "small", dataclasses.replace(SPEC, accumulate=4))  # of 1, 2, 1 and 2 clips
    small, large = (torch.tensor(curve(tmp_path / folder)) for folder in ("small", "large"))
    torch.testing.assert_close(small, large, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("victim", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_truncated_checkpoint_is_skipped_with_a_note(
    tmp_path: Path, victim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", model=acting(Denoiser(), 9, interrupt))
    file = tmp_path / "cut" / "checkpoint-000009" / victim
    file.write_bytes(file.read_bytes()[:-5])
    model = acting(Denoiser())
    run(tmp_path / "cut", model=model)
    assert model.calls == 4  # from checkpoint 8
    assert "skipped the unreadable checkpoint" in capsys.readouterr().err


def test_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: Any, path: Path) -> None:
        if "000008" in str(path):
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    save_file = checkpoints.save_file
    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(UserError, match="No space left"):
        run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000004", "log.jsonl"]


def test_loss_that_is_not_finite_stops_with_the_update_and_a_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"denoiser: loss nan, .* at update 6; lower train\.lr"):
        run(tmp_path, model=acting(Denoiser(), 6, lambda loss: Loss.from_items(loss.per_item_B * float("nan"))))
    assert [path.name for path in tmp_path.glob("check*")] == ["checkpoint-000004"]


def test_finished_training_is_not_done_again_and_another_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path)
    untouched = acting(Denoiser())
    assert run(tmp_path, model=untouched) == first
    assert untouched.calls == 0
    with pytest.raises(UserError, match=r"train\.lr is 0\.01 there, 0\.5 asked"):
        run(tmp_path, dataclasses.replace(SPEC, lr=0.5))
    with pytest.raises(UserError, match=r"model\.paradigm is 'denoiser' there, 'coder' asked"):
        run(tmp_path, model=Coder())
    assert run(tmp_path, dataclasses.replace(SPEC, lr=0.5), resume=False).final_loss != first.final_loss


def test_what_a_killed_run_was_writing_is_removed_whatever_it_was(tmp_path: Path) -> None:
    for name in ("result.json", "log.jsonl", "model.safetensors", "without_suffix"):
        files._made_beside(tmp_path / name)
    folder = files.atomic_folder(tmp_path / "final")
    folder.__enter__()  # and killed before it leaves
    assert len(list(tmp_path.iterdir())) == 5
    tidy(tmp_path)
    assert not list(tmp_path.iterdir())


def test_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, model=acting(Denoiser(), 2, interrupt))
    with pytest.raises(UserError, match=r"000002 was trained otherwise: .*options\.width is 4 there, 5 asked"):
        run(tmp_path, model=Denoiser(width=5))


def test_snapshots_hold_the_average_of_then(tmp_path: Path) -> None:
    result = run(tmp_path / "long", dataclasses.replace(SPEC, snapshots=(5,), schedule="constant"))
    short = run(tmp_path / "short", dataclasses.replace(SPEC, updates=5, schedule="constant"))
    kept, final = load_file(result.snapshots[5] / "model.safetensors"), load_file(short.final / "model.safetensors")
    assert all(torch.equal(kept[name], final[name]) for name in final)


def test_bf16_learns_and_keeps_weights_in_fp32(tmp_path: Path) -> None:
    model = Denoiser()
    run(tmp_path / "bf16", dataclasses.replace(SPEC, precision="bf16", updates=60), model)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    losses = [line[1] for line in curve(tmp_path / "bf16")]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_stream_of_another_batch_size_is_refused(tmp_path: Path) -> None:
    from paradigm_bench.training.loop import train

    with pytest.raises(UserError, match=r"train\.batch is 6, but the stream has 3"):
        train(Denoiser(), toy_stream(dataclasses.replace(SPEC, batch=3)), SPEC, tmp_path)  # type: ignore[arg-type]
