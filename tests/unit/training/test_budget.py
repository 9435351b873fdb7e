"""Budgets: what an update costs against torch's own counter, what a budget buys, and a run that the clock ends."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from budget_toys import BATCH, CROSS, EMBEDDED, FRAMES, PREFIX, TOKENS, a_batch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from training_toys import SPEC, Denoiser, run

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.common.config import config_hash, to_dict
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Paradigm
from paradigm_bench.paradigms.masks import DROPS, MAR_RATIO, MNTP_HIGH, MNTP_LOW, TruncatedNormal, drop_ratio
from paradigm_bench.representations.latents.controls import ControlSpec
from paradigm_bench.representations.text.encoders import TextSpec
from paradigm_bench.training import TrainSpec, loop
from paradigm_bench.training.budget import flops_per_update, resolve
from paradigm_bench.training.spec import Budget, learning_rate
from tests.helpers import LATENT, OPTIONS

WORDS = TextSpec(kind="tokens", dim=0, vocabulary=tuple(map(str, range(9))), max_length=TOKENS)
CONTROLS = (ControlSpec("chords", 5, 16), ControlSpec("melody", 3, 16))
SURE = TruncatedNormal(0.75, 1e-6, 0.74, 0.76)  # 9 of 12 frames, whatever is drawn
CASES = [
    ("ar", {}, CROSS, EMBEDDED, (), 0),
    ("ar", {"fill_middle": True}, PREFIX, WORDS, CONTROLS, 6),
    ("fm", {}, CROSS, EMBEDDED, CONTROLS, 0),
    ("fm", {"text_layers": 1}, dataclasses.replace(CROSS, time="adaln", skips=True), WORDS, (), 6),
    ("mar", {}, CROSS, EMBEDDED, CONTROLS, 0),
    ("mar", {}, PREFIX, WORDS, (), 4),
    ("mar", {"mae": False}, PREFIX, WORDS, (), 4),
    ("mntp", {}, CROSS, EMBEDDED, (), 0),
    ("mntp", {}, PREFIX, WORDS, CONTROLS, 6),
    ("ntp", {}, CROSS, WORDS, (), 0),
    ("ntp", {"drop": "mixture", "hidden": "dropped"}, CROSS, WORDS, CONTROLS, 0),
    ("ntp", {"drop": "mixture", "hidden": "zeroed"}, CROSS, WORDS, (), 0),
    ("ntp", {"drop": "uniform", "hidden": "noised"}, CROSS, WORDS, (), 0),
    ("masked_fm", {"ratio": [0.5, 0.5]}, CROSS, WORDS, (), 0),
    ("masked_fm", {"ratio": [0.5, 0.5], "head": {"kind": "mlp", "repeats": 3}}, PREFIX, WORDS, CONTROLS, 8),
]


@pytest.mark.parametrize(("name", "options", "backbone", "text", "controls", "hidden"), CASES)
def test_an_update_costs_what_torch_counts(
    name: str, options: dict[str, Any], backbone: BackboneConfig, text: TextSpec, controls: tuple[ControlSpec, ...],
    hidden: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(DROPS, "mixture", (SURE,))
    ratio = {"ratio": SURE} if name == "mar" else {}
    model = paradigms.build(name, {**OPTIONS.get(name, {}), **ratio, **options}, backbone, LATENT, text, controls)
    batch = a_batch(text, controls, hidden)
    # The counter does not know the CPU's fused attention; the plain one is made of products that it counts.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.loss(batch, ItemRNG([1, 2]), ItemRNG([3])).mean.backward()
    assert model.training_cost(BATCH, FRAMES, TOKENS, hidden) == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_quantiles_stand_for_the_draws() -> None:
    rng = ItemRNG([5])
    drawn = [MAR_RATIO.draw(rng) for _ in range(2000)]
    assert mean(MAR_RATIO.quantiles()) == pytest.approx(mean(drawn), abs=4 * 0.08 / math.sqrt(2000))
    mixture = [drop_ratio("mixture", rng) for _ in range(2000)]
    both = [*MNTP_HIGH.quantiles(), *MNTP_LOW.quantiles()]
    assert mean(both) == pytest.approx(mean(mixture), abs=4 * 0.3 / math.sqrt(2000))


def test_flops_of_a_transformer_are_six_per_parameter_and_token() -> None:
    """At full size, in short clips: 6 N D (Kaplan et al. 2020) but for attention's own products."""
    from paradigm_bench.backbones import preset

    with torch.device("meta"):
        model = paradigms.build("fm", {}, preset("400m", text="none"), LATENT, EMBEDDED)
    matrices = sum(p.numel() for p in model.backbone.blocks.parameters() if p.dim() > 1)
    assert model.training_cost(8, 50, 1) == pytest.approx(6 * matrices * 8 * 50, rel=0.01)


def test_a_paradigm_that_does_not_count_says_so() -> None:
    class Silent(Paradigm):
        name = "silent"
        view = "latents"

    model = Silent(Silent.options_class(), CROSS, LATENT, EMBEDDED)
    with pytest.raises(UserError, match="'silent' does not say what training costs"):
        flops_per_update(model, SPEC, TOKENS)


def test_what_a_budget_buys() -> None:
    spec = TrainSpec(batch=4, warmup=2)

    def bought(unit: Any, amount: float) -> TrainSpec:
        return resolve(dataclasses.replace(spec, budget=Budget(unit, amount)), frames=10, flops_per_update=1e6)

    assert bought("updates", 7) == dataclasses.replace(spec, updates=7)  # as if there had been no budget
    assert bought("tokens", 239).updates == 5  # of 40 latent frames each
    assert bought("flops", 3e6).updates == 3
    assert resolve(bought("flops", 3e6), 10, 1e6) == bought("flops", 3e6)
    assert resolve(spec, 10) == spec
    assert bought("wall_seconds", 9.0).updates == spec.updates
    with pytest.raises(UserError, match=r"budget of 39 tokens is less than one update \(40\); raise it"):
        bought("tokens", 39)
    with pytest.raises(UserError, match=r"train\.warmup is 2 but must lie between 0 and train\.updates \(1\)"):
        bought("tokens", 40)
    with pytest.raises(UserError, match=r"amount is 0 flops but must be above 0"):
        Budget("flops")


def test_identity_of_runs_without_a_budget_is_that_of_before() -> None:
    assert "budget" not in to_dict(TrainSpec())
    assert config_hash(TrainSpec()) == "701cce56cbf4"
    assert to_dict(TrainSpec(budget=Budget("tokens", 5.0)))["budget"] == {"unit": "tokens", "amount": 5.0}


@pytest.mark.parametrize(("tick", "updates"), [(0.07, 5), (0.0999, 4), (0.5, 1)])
def test_the_clock_ends_a_run_and_sets_its_schedule(
    tick: float, updates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that goes on by ``tick`` seconds an update; the third update of the second case ends at .2997 s."""
    readings = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 100 + tick * next(readings), process_time=lambda: 0.0)
    monkeypatch.setattr(loop, "time", clock)
    spec = dataclasses.replace(SPEC, budget=Budget("wall_seconds", 0.3), log_every=1, warmup=0)
    result = run(tmp_path, spec, Denoiser())
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert result.updates == len(log) == log[-1]["update"] == updates
    assert [line["wall_seconds"] for line in log] == pytest.approx(
        [tick * n for n in range(1, updates + 1)], abs=5.1e-4
    )
    assert [line["lr"] for line in log] == pytest.approx(
        [spec.lr * (1 + math.cos(math.pi * tick * n / 0.3)) / 2 for n in range(updates)]
    )
    assert run(tmp_path, spec, Denoiser()) == result


def test_a_run_by_the_clock_goes_on_where_it_was(tmp_path: Path) -> None:
    """Half the time is spent at the checkpoint: the rate is that of the middle, and time goes on from there."""
    spec = dataclasses.replace(SPEC, budget=Budget("wall_seconds", 60.0), warmup=4)
    assert learning_rate(spec, 100, wall_seconds=30.0) == pytest.approx(spec.lr / 2)
    assert learning_rate(spec, 1, wall_seconds=0.0) == pytest.approx(spec.lr / 4)
    assert learning_rate(dataclasses.replace(spec, schedule="constant"), 100, 59.0) == spec.lr
    assert (spec.spent(5, 30.0), spec.spent(5, 61.0)) == (0.5, 1.0)
    with pytest.raises(UserError, match="snapshots"):
        dataclasses.replace(spec, snapshots=(1,))


def test_cells_and_folders_of_the_records_stay_what_they_were() -> None:
    """What the first studies were trained as still has the identity under which its weights were kept."""
    from paradigm_bench.benchmarks.analysis.records import load_records
    from paradigm_bench.common.config import from_dict
    from paradigm_bench.training.trained import training_folder

    records, _ = load_records(Path(__file__).parents[3] / "results" / "small_cpu")
    trained = [record for record in records if record.training]
    assert trained
    for record in trained:
        assert to_dict(from_dict(TrainSpec, record.cell["train"], "train")) == record.cell["train"]
        assert training_folder(record.cell) == record.training.folder  # type: ignore[union-attr]
