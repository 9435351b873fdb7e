"""Studies are read strictly, overrides reach every key, and identity covers every default."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paradigm_bench.benchmarks.study.cells import Cell, check_distinct
from paradigm_bench.benchmarks.study.load import STUDIES, load_study, study_names, title_of, with_corpus
from paradigm_bench.benchmarks.study.sweep import points
from paradigm_bench.common.errors import UserError

BASE = "title: T\naxis: fidelity\narms: [ar, {paradigm: fm, label: fm-heun, sampler: {solver: heun}}]\n"


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_reading_a_study_loads_neither_torch_nor_a_plotting_library() -> None:
    code = (
        "import sys; from paradigm_bench.benchmarks.study.load import load_study; load_study('smoke'); "
        "print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "set()", process.stderr


def test_short_forms_are_spelled_out(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, BASE))
    assert study.name == "mine"
    assert [arm.name for arm in study.arms] == ["ar", "fm-heun"]
    assert study.arms[1].sampler == {"solver": "heun"}
    assert study.train.lr == 1e-3


def test_packaged_studies_are_valid() -> None:
    assert {"quickstart", "small_cpu", "smoke"} <= set(study_names())
    for name in study_names():
        study = load_study(name)
        assert study.name == name


def test_set_reaches_nested_keys_with_yaml_values(tmp_path: Path) -> None:
    study = load_study(
        written(tmp_path, BASE),
        ["train.lr=3e-4", "seeds=[1, 2]", "backbone.overrides.n_layers=2", "train.snapshots=[5]"],
    )
    assert (study.train.lr, study.seeds, study.train.snapshots) == (3e-4, (1, 2), (5,))
    assert study.backbone.overrides == {"n_layers": 2}


def test_paradigm_filter_keeps_the_studys_arm_and_adds_others_with_defaults(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, BASE), paradigms=["fm-heun", "mar"])
    assert [(arm.name, arm.sampler) for arm in study.arms] == [("fm-heun", {"solver": "heun"}), ("mar", {})]


@pytest.mark.parametrize("updates", [1, 2, 3, 5, 7, 10, 99, 1399, 1400, 3_000_000])
def test_a_number_of_updates_alone_fits_every_study(updates: int) -> None:
    """Warm-up, snapshots, checkpoints and pre-training follow, at every point of the study's sweep."""
    for name in study_names():
        if "budget" in (STUDIES / f"{name}.yaml").read_text():
            continue
        for point, _ in points(load_study(name, updates=updates)):
            train = point.train
            assert train.updates == updates
            assert 0 <= train.warmup <= min(train.pretraining or updates, updates - train.pretraining)
            assert train.checkpoint_every >= 1
            assert len(set(train.snapshots)) == len(train.snapshots)
            assert all(1 <= at < updates for at in train.snapshots)


def test_settings_keep_their_share_of_the_updates_and_given_ones_win(tmp_path: Path) -> None:
    usual = load_study("quickstart").train
    assert load_study("quickstart", updates=usual.updates).train == usual
    doubled = load_study("quickstart", updates=2 * usual.updates).train
    assert doubled.warmup == 2 * usual.warmup
    assert doubled.snapshots == tuple(2 * at for at in usual.snapshots)
    given = load_study("quickstart", ["train.warmup=3", "train.snapshots=[4]"], updates=8).train
    assert (given.updates, given.warmup, given.snapshots) == (8, 3, (4,))
    swept = written(tmp_path, BASE + "train: {updates: 400, warmup: 50}\nsweep: {train.pretraining: [0, 200]}\n")
    assert [p.train.pretraining for p, _ in points(load_study(swept, updates=40))] == [0, 20]


def test_updates_are_refused_where_a_budget_decides() -> None:
    with pytest.raises(UserError, match=r"equal_flops\.yaml: train\.budget decides how long arms train"):
        load_study("equal_flops", updates=5)


def test_an_arm_that_joins_with_its_defaults_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_study(written(tmp_path, BASE), paradigms=["fm-heun", "mar"])
    assert (
        capsys.readouterr().err
        == "note: mine.yaml has no arm 'mar' (arms: ar, fm-heun); it is added with its defaults\n"
    )


def test_an_unknown_arm_names_the_arms_of_the_study(tmp_path: Path) -> None:
    known = r"unknown paradigm 'fm-huen' \(did you mean 'fm-heun'\?\); arms here: .*fm-heun.*; paradigms: ar, fm,"
    with pytest.raises(UserError, match=known):
        load_study(written(tmp_path, BASE), paradigms=["fm-huen"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE + "trian: {}\n", "unknown key 'trian' (did you mean 'train'?)"),
        (BASE + "train: {updates: many}\n", "train.updates: expected int, got 'many'"),
        (BASE + "train: {lr: 1, lr: 2}\n", "the key 'lr' is given twice"),
        (BASE + "seeds: []\n", "seeds is empty"),
        (BASE + "name: a/b\n", "names a folder"),
        (BASE.replace("label: fm-heun", "label: ar"), "two arms are called 'ar'"),
        (BASE + "train: {lr: [}\n", "not valid YAML: line 4"),
        ("- a\n", "expected a mapping"),
        (BASE + "evaluation: {prompts: 1}\n", "evaluation.prompts is 1"),
        (BASE + "train: {updates: -5}\n", "train.updates"),
    ],
)
def test_bad_studies_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_study(written(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_study_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"did you mean 'quickstart'\?"):
        load_study("quikstart")


def test_set_without_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected KEY=VALUE"):
        load_study(written(tmp_path, BASE), ["train.lr"])


def test_another_corpus_gets_its_own_results(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, BASE))
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "manifest.csv").touch()
    assert with_corpus(study, str(tmp_path / "songs" / "manifest.csv")).name == "mine-songs"
    assert with_corpus(study, "builtin:fluidsynth").name == "mine-builtin-fluidsynth"
    assert with_corpus(study, str(tmp_path / "songs")).name == "mine-songs"


def test_one_measurement_under_two_names_is_refused() -> None:
    cells = [Cell("a", name, "paradigm", 0, None, name, {"lr": 1e-3}) for name in ("x", "y")]
    with pytest.raises(UserError, match="'x seed 0' and 'y seed 0' are the same measurement"):
        check_distinct(cells, "s")


def test_folders_of_results_are_told_by_their_studys_title() -> None:
    assert title_of("masked_fm_spans") == load_study("masked_fm_spans").title
    assert title_of("quickstart-music") == "the same as quickstart, on other audio or another machine"
    assert title_of("maskgit") == ""
