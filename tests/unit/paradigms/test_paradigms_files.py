"""Saving and loading: the same model comes back, and what does not fit is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from paradigm_bench import paradigms
from paradigm_bench.common.errors import UserError
from tests.helpers import OPTIONS, make


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
