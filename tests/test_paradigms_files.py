"""Saving and loading: the same model comes back, and what does not fit is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import paradigms
from backbones import BackboneConfig
from common.errors import UserError
from tests.helpers import LATENT, OPTIONS, TEXT, make, sample, some_conditions


@pytest.mark.parametrize("name", paradigms.names())
def test_round_trip(name: str, tmp_path: Path) -> None:
    backbone = BackboneConfig(d_model=32, n_layers=2, n_heads=4, d_ff=48, text="prefix", positions="rotary")
    model = make(name, {"text_layers": 1}, backbone)
    paradigms.save(model, tmp_path)
    again = paradigms.load(tmp_path)
    assert type(again) is type(model)
    assert not again.training
    assert (again.options, again.backbone_config) == (model.options, model.backbone_config)
    assert (again.latent, again.text_stem.spec) == (LATENT, TEXT)
    conditions = some_conditions([3, 2])
    assert torch.equal(sample(again, conditions, 5, [1, 2]), sample(model, conditions, 5, [1, 2]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def edited(folder: Path, **changes: object) -> Path:
    """Change some keys of a saved model's JSON."""
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    paradigms.save(make("ar"), tmp_path / "ar")
    return tmp_path / "ar"


def test_another_shape(saved: Path) -> None:
    wider = json.loads((saved / "model.json").read_text())["backbone"] | {"d_model": 64}
    with pytest.raises(
        UserError, match=r"weights in .*/ar do not fit .*/ar/model\.json: size mismatch .*\b32\b.*\b64\b"
    ) as error:
        paradigms.load(edited(saved, backbone=wider))
    assert "\n" not in str(error.value)


def test_another_paradigm(saved: Path, tmp_path: Path) -> None:
    paradigms.save(make("mntp"), tmp_path / "mntp")
    shutil.copy(saved / "model.safetensors", tmp_path / "mntp")
    with pytest.raises(UserError, match=r"mntp/model\.safetensors .*'ar'.*'mntp'"):
        paradigms.load(tmp_path / "mntp")


def test_broken_or_missing_files(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file: .*nowhere/model\.json"):
        paradigms.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"unknown paradigm 'arr'.*did you mean 'ar'"):
        paradigms.load(edited(saved, paradigm="arr"))
    edited(saved, paradigm="ar")
    with open(saved / "model.safetensors", "rb+") as file:
        file.truncate(1000)  # as by a copy that broke off
    with pytest.raises(UserError, match=r"cannot read .*ar/model\.safetensors"):
        paradigms.load(saved)
    (saved / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"cannot read .*ar/model\.safetensors: No such file"):
        paradigms.load(saved)
    (saved / "model.json").write_text("{}")
    with pytest.raises(UserError, match=r"model\.json: missing key 'paradigm'"):
        paradigms.load(saved)


def test_options_of_another_paradigm(saved: Path) -> None:
    with pytest.raises(UserError, match="ar options: unknown key 'buffer_tokens'"):
        paradigms.load(edited(saved, options=OPTIONS["mar"]))
