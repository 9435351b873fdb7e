"""``bench power``: the numbers of prompts that it names give the power that it promises, in simulations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from paradigm_bench.benchmarks.analysis.power import MOST_PROMPTS, Components, components, fewest, needs
from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.cli.compare import load_table
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.cli.power import power_text
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.metrics.variance import of_layout
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError

PROMPTS = 48


def save(folder: Path, system: str, seed: int, scores: np.ndarray) -> None:
    reference = system in ("real", "noise", "shuffled_captions")
    cell = {
        "axis": "fidelity", "version": 1, "data": {}, "evaluation": {"prompts": PROMPTS}, "seed": seed,
        "model": {"paradigm": "" if reference else system, "options": {}, "backbone": {}},
        "train": {"updates": 10, "warmup": 0, "seed": seed},
        **({"reference": system} if reference else {"at_updates": 10, "sampler": {}}),
    }  # fmt: skip
    value = float(scores.mean())
    record = Record(
        id=config_hash(cell), study="s", axis="fidelity", system=system, kind="reference" if reference else "paradigm",
        seed=seed, status="ok", cell=cell, created=f"2026-01-01T00:00:{seed:02d}", at_updates=None if reference else 10,
        metrics={"adherence_b": metric(value, low=value - 0.1, high=value + 0.1, n=PROMPTS, better="higher")},
    )  # fmt: skip
    save_record(folder, record, [{"item": f"p{i}", "caption": "c", "adherence_b": s} for i, s in enumerate(scores)])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Four arms whose differences have variances 2 (prompts), .1 (seeds) and 4 (rest)."""
    rng = np.random.default_rng(0)
    for arm in ("ar", "fm", "mar", "mntp"):
        of_arm = rng.normal(0, 1.0, PROMPTS)
        for seed in range(5):
            scores = of_arm + rng.normal(0, np.sqrt(0.05)) + rng.normal(0, np.sqrt(2.0), PROMPTS)
            save(tmp_path / "s", arm, seed, scores)
    for system, shift in (("real", 20.0), ("shuffled_captions", 0.0), ("noise", -20.0)):
        save(tmp_path / "s", system, 0, rng.normal(shift, 0.1, PROMPTS))
    return tmp_path


def test_components_are_those_of_the_records(results: Path) -> None:
    found = components(load_table("s", results), "adherence_b")
    assert (found.prompts, found.rest) == pytest.approx((2.0, 4.0), rel=0.35)
    assert found.seeds == pytest.approx(0.1, abs=0.15)
    assert (found.arms, found.n_seeds) == (4, 5)


def test_power_with_one_seed_is_that_of_a_t_test() -> None:
    spread = Components(3.0, 0.0, 1.0, arms=2, n_seeds=1)
    for n in (10, 40):
        shift = 1.0 / np.sqrt(4.0 / n)
        assert spread.power(1.0, n, 1) == pytest.approx(stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, shift), abs=1e-6)


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("seeds_variance", [0.0, 0.01, 0.05])
def test_the_prompts_it_names_give_the_power_it_promises(n_seeds: int, seeds_variance: float) -> None:
    rng, spread = np.random.default_rng(1), Components(0.4, seeds_variance, 1.0, arms=2, n_seeds=3)
    difference = 2.0 * np.sqrt(seeds_variance) + 0.3
    n = fewest(lambda prompts: spread.power(difference, prompts, n_seeds) >= 0.8)
    assert n is not None
    found = 0
    for _ in range(1500):
        layout = rng.normal(0, np.sqrt(0.4), (n, 1)) + rng.normal(0, np.sqrt(seeds_variance), (1, n_seeds))
        found += of_layout(difference + layout + rng.normal(size=(n, n_seeds))).p_value() < 0.05
    assert found / 1500 == pytest.approx(0.8, abs=0.09)


def test_fewest_is_the_first_that_is_enough() -> None:
    assert fewest(lambda n: n >= 17) == 17
    assert fewest(lambda n: n > MOST_PROMPTS) is None


def test_more_seeds_need_fewer_prompts_and_a_table_needs_more(results: Path) -> None:
    found, comparisons = needs(load_table("s", results), "adherence_b", 1.0, 0.8)
    assert comparisons == 10  # six pairs of arms, and four arms against shuffled captions
    by_seeds = {one.n_seeds: one for one in found}
    assert list(by_seeds) == [1, 3, 5, 10]
    assert by_seeds[10].alone < by_seeds[5].alone < by_seeds[3].alone  # type: ignore[operator]
    assert all(one.in_table is None or one.in_table > one.alone for one in found)  # type: ignore[operator]


def test_the_command_and_what_it_refuses(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["power", "s", "--results", str(results)]
    assert status(arguments) == 0
    text = capsys.readouterr().out
    assert "adherence_b" in text
    assert "1 (these runs only)" in text
    assert "the 10 comparisons of the study's table" in text
    data = json.loads(power_text(load_table("s", results), "", None, 0.8, as_json=True))
    assert data["needs"][0]["difference"] == pytest.approx(1.0, rel=0.1)  # the margin: 5% of the way to the floor
    with pytest.raises(UserError, match="did you mean 'adherence_b'"):
        power_text(load_table("s", results), "adherenc_b", None, 0.8)
    for option, value in (("--power", "1"), ("--difference", "0"), ("--power", "nan")):
        assert status([*arguments, option, value]) == 2
