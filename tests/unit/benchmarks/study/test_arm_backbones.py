"""Settings of the backbone that an arm has of its own: they reach its model, its identity, sweeps and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paradigm_bench.benchmarks.analysis.comparability import differences
from paradigm_bench.benchmarks.analysis.records import Record
from paradigm_bench.benchmarks.study.arms import model_config
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.benchmarks.study.study import Study
from paradigm_bench.benchmarks.study.sweep import points
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.errors import UserError
from paradigm_bench.representations.shapes import BUILTIN_LATENT

STUDY = """title: T
axis: fidelity
arms: [ar, {paradigm: fm, backbone: {time: adaln, d_ff: 416}}]
backbone: {preset: tiny}
"""


def written(folder: Path, text: str = STUDY) -> Study:
    (folder / "mine.yaml").write_text(text)
    return load_study(str(folder / "mine.yaml"))


def configs(study: Study) -> dict[str, dict[str, Any]]:
    return {arm.name: model_config(arm, study, BUILTIN_LATENT) for arm in study.arms}


def test_an_arm_has_a_backbone_of_its_own_and_its_config_holds_it_whole(tmp_path: Path) -> None:
    found = configs(written(tmp_path))
    assert (found["fm"]["backbone"]["time"], found["fm"]["backbone"]["d_ff"]) == ("adaln", 416)
    assert (found["ar"]["backbone"]["time"], found["ar"]["backbone"]["d_ff"]) == ("none", 512)
    assert found["fm"]["own_backbone"] == ["d_ff", "time"]
    assert "own_backbone" not in found["ar"]  # so the identity of an arm without settings of its own is as before
    plain = configs(written(tmp_path, STUDY.replace(", d_ff: 416", "")))
    assert config_hash(found["fm"]) != config_hash(plain["fm"])


def test_the_study_chooses_for_all_arms_only_what_all_can_use(tmp_path: Path) -> None:
    everywhere = STUDY.replace("preset: tiny", "preset: tiny, overrides: {time: adaln}")
    with pytest.raises(UserError, match=r"backbone\.time adaln .*'ar'.*other arms alone"):
        configs(written(tmp_path, everywhere))
    assert configs(written(tmp_path, everywhere.replace("[ar, ", "[")))["fm"]["backbone"]["time"] == "adaln"


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("{d_f: 416}", r"fm backbone: unknown key 'd_f' \(did you mean 'd_ff'\?\)"),
        ("{time: none}", "backbone.time none is not possible for paradigm 'fm', which needs add or adaln"),
        ("{causal: true}", "backbone.causal true is not possible for paradigm 'fm', which needs false"),
        ("{n_layers: 5, skips: true}", "n_layers must be even"),
    ],
)
def test_a_bad_setting_of_an_arm_is_one_line(own: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told) as raised:
        configs(written(tmp_path, STUDY.replace("{time: adaln, d_ff: 416}", own)))
    assert "\n" not in str(raised.value)


def test_a_sweep_reaches_an_arms_backbone(tmp_path: Path) -> None:
    study = written(tmp_path, STUDY + "sweep: {arms.fm.backbone.d_ff: [256, 512]}\n")
    found = [configs(point) for point, _ in points(study)]
    assert [one["fm"]["backbone"]["d_ff"] for one in found] == [256, 512]
    assert [one["ar"]["backbone"]["d_ff"] for one in found] == [512, 512]


def record(arm: str, model: dict[str, Any]) -> Record:
    cell = {"axis": "fidelity", "model": model}
    return Record(config_hash(cell), "s", "fidelity", arm, "paradigm", 0, "ok", cell, "2026-01-01T00:00:00")


def test_arms_may_differ_in_their_own_settings_alone(tmp_path: Path) -> None:
    found = configs(written(tmp_path))
    ar, fm = record("ar", found["ar"]), record("fm", found["fm"])
    assert differences(ar, fm) == []
    small = configs(written(tmp_path, STUDY.replace("preset: tiny", "preset: small")))
    assert "backbone.n_layers" in differences(record("ar", small["ar"]), fm)
    assert "backbone.d_ff" in differences(record("ar", small["ar"]), ar)
    narrow = configs(written(tmp_path, STUDY.replace("416", "256")))  # the same arm with another size is no seed of it
    assert differences(record("fm", narrow["fm"]), fm, same_row=True) == ["backbone.d_ff"]
