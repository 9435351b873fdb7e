"""Sweeps: the product of all values, shared cells once, labels that tell cells apart, and errors that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from paradigm_bench.benchmarks.cli.options import study_of_options
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.study import ArmChoice, Study
from paradigm_bench.benchmarks.study.sweep import expand, points
from paradigm_bench.common.errors import UserError

ARMS = "arms: [ar, {paradigm: fm, label: fm-1.5, sampler: {solver: heun}}, mar]\n"
BASE = "title: T\naxis: fidelity\n" + ARMS


@pytest.fixture(autouse=True)
def _fake_axis_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def fake(**sweep: tuple) -> Study:
    arms = (ArmChoice("x", options={"does": "work"}), ArmChoice("y", options={"does": "sleep"}))
    return Study("s", "T", "fake_axis:FakeAxis", arms, sweep={key.replace("__", "."): v for key, v in sweep.items()})


def test_points_are_the_product_and_each_is_a_whole_study() -> None:
    study = load_study("smoke", sweeps=["train.batch=8,16", "train.lr=[1e-3, 2e-3]"])
    found = [(point.train.batch, point.train.lr, point.sweep) for point, _ in points(study)]
    assert found == [(8, 1e-3, {}), (8, 2e-3, {}), (16, 1e-3, {}), (16, 2e-3, {})]


def test_a_cell_that_points_share_is_measured_once_and_labelled_by_what_it_has_alone() -> None:
    cells = expand(fake(train__lr=(1e-3, 2e-3), train__batch=(8, 16)))  # the fake axis does not look at the batch
    assert [cell.title for cell in cells] == [
        "x lr 0.001 seed 0",
        "y lr 0.001 seed 0",
        "x lr 0.002 seed 0",
        "y lr 0.002 seed 0",
    ]
    assert len({cell.id for cell in cells}) == 4
    assert [cell.title for cell in expand(fake())] == ["x seed 0", "y seed 0"]


def test_keys_that_end_alike_are_told_whole() -> None:
    cells = expand(fake(train__seconds=(2.0,), evaluation__split=("test",), latency__seconds=(5.0,)))
    assert cells[0].label == "train.seconds 2.0 split test latency.seconds 5.0"


def test_one_measurement_under_two_names_is_refused_in_sweeps_too() -> None:
    study = Study("s", "T", "fake_axis:FakeAxis", (ArmChoice("x"), ArmChoice("y")), sweep={"train.lr": (1.0, 2.0)})
    with pytest.raises(UserError, match="'x seed 0' and 'y seed 0' are the same measurement"):
        expand(study)


def test_arms_are_addressed_by_label_or_all_that_have_the_key(tmp_path: Path) -> None:
    keys = ["arms.fm-1.5.sampler.steps=10,50", "arms.*.sampler.guidance=1,3", "arms.*.sampler.iterations=4"]
    study = load_study(written(tmp_path, BASE), sweeps=keys)
    found = [[arm.sampler for arm in point.arms] for point, _ in points(study)]
    assert len(found) == 4
    assert found[1] == [
        {"guidance": 3},
        {"solver": "heun", "steps": 10, "guidance": 3},
        {"guidance": 3, "iterations": 4},
    ]
    assert study.arms[1].sampler == {"solver": "heun"}  # the study itself stays as it is


def test_options_may_be_nested(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, BASE), sweeps=["arms.mar.options.head.width=64,128"])
    assert [point.arms[2].options for point, _ in points(study)] == [{"head": {"width": 64}}, {"head": {"width": 128}}]


def test_fidelity_studies_sweep_too() -> None:
    study = load_study("smoke", ["arms=[fm]", "evaluation.references=[noise]"], sweeps=["train.batch=4,8"])
    cells = expand(study)
    assert [cell.title for cell in cells] == [
        "noise seed 0",
        "fm batch 4 seed 0 at 10", "fm batch 4 seed 0 at 20", "fm batch 8 seed 0 at 10", "fm batch 8 seed 0 at 20",
    ]  # fmt: skip
    assert len({cell.group for cell in cells}) == 3


def test_set_and_paradigm_win_over_the_files_sweep(tmp_path: Path) -> None:
    text = BASE + "sweep: {latency.batch: [1, 8], arms.mar.sampler.iterations: [4, 8], arms.ar.sampler.top_k: [1]}\n"
    path = written(tmp_path, text)
    assert load_study(path, ["latency.batch=4"]).sweep.keys() == {
        "arms.mar.sampler.iterations",
        "arms.ar.sampler.top_k",
    }
    assert load_study(path, paradigms=["ar"]).sweep == {"latency.batch": (1, 8), "arms.ar.sampler.top_k": (1,)}
    assert load_study(path, sweeps=["latency.batch=2"]).sweep["latency.batch"] == (2,)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("latency.bach=1,8", "sweep 'latency.bach': unknown key 'bach' (did you mean 'batch'?)"),
        ("latncy.batch=1", "unknown key 'latncy' (did you mean 'latency'?)"),
        ("latency.batch=one", "latency.batch: expected int, got 'one'"),
        ("latency.batch=0", "latency.batch is 0 but must be above 0"),
        ("latency.batch.size=1", "'latency.batch' is a plain value and has no 'size'"),
        ("latency.batch=", "expected KEY=VALUE,VALUE"),
        ("latency.batch", "expected KEY=VALUE,VALUE"),
        ("latency.batch=[]", "sweep 'latency.batch' has no values"),
        ("arms.fm.sampler.steps=1", "no arm 'fm' (did you mean 'fm-1.5'?)"),
        ("arms.mar.sampler.iteratoins=4", "unknown key 'iteratoins' (did you mean 'iterations'?)"),
        ("arms.*.sampler.stps=4", "unknown key 'stps'"),
        ("arms.mar.label=x,y", "'label' of an arm cannot be swept; <key> of its sampler, options or backbone can"),
        ("axis=latency", "this key cannot be swept"),
    ],
)
def test_wrong_sweeps_are_named(tmp_path: Path, sweep: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        list(points(load_study(written(tmp_path, BASE), sweeps=[sweep])))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sweep_in_the_file_must_be_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sweep.latency.batch: expected a list, got 8"):
        load_study(written(tmp_path, BASE + "sweep: {latency.batch: 8}\n"))


def test_an_option_of_the_latency_axis_is_refused_elsewhere() -> None:
    with pytest.raises(UserError, match="--dtype has no effect on axis fidelity"):
        study_of_options({"study": "smoke", "dtype": "bf16", "peers": False})
