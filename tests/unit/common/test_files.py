"""Atomic files: whole or not at all, and one line to the user when the disk is full."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from paradigm_bench.common.errors import UserError
from paradigm_bench.common.files import atomic_path, no_file, no_folder, read_json, write_json, write_tensors

ROOT = Path(__file__).parents[3]


def test_tensors_come_back(tmp_path: Path) -> None:
    base = torch.arange(6.0).view(2, 3)
    write_tensors(tmp_path / "t.safetensors", {"whole": base, "view": base.T}, {"made": "here"})
    held = safetensors.torch.load_file(tmp_path / "t.safetensors")
    assert torch.equal(held["whole"], base)
    assert torch.equal(held["view"], base.T)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"w": torch.ones(2)})

    def full(*args: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UserError, match=r"t\.safetensors.*No space left.*free space"):
        write_tensors(path, {"w": torch.zeros(2)})
    assert safetensors.torch.load_file(path)["w"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_json_refuses_what_json_has_not_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"no such file: .*a\.json"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot read .*a\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("remade", [False, True])
def test_only_what_is_made_again_is_to_be_deleted(tmp_path: Path, remade: bool) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match="no such file: ") as missing:
        read_json(path, remade)
    with pytest.raises(UserError, match=f"{tmp_path} is a folder, not a file"):
        read_json(tmp_path, remade)
    path.write_text('{"half": ')
    with pytest.raises(UserError, match="as JSON") as cut:
        read_json(path, remade)
    assert "delete" not in str(missing.value)
    assert ("delete it, and it is made again" in str(cut.value)) == remade
    assert ("restore it from a copy" in str(cut.value)) != remade


def test_what_is_there_is_not_called_missing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert no_file(tmp_path) == f"{tmp_path} is a folder, not a file"
    assert no_folder(file) == f"{file} is a file, not a folder"
    assert no_file(tmp_path / "x") == f"no such file: {tmp_path / 'x'}"
    assert no_folder(tmp_path / "x") == f"no such folder: {tmp_path / 'x'}"


def test_no_other_module_words_a_missing_path() -> None:
    """One wording, which looks at what is there: see ``no_file`` and ``no_folder``."""
    folders = ("backbones", "benchmarks", "corpora", "paradigms", "representations", "slurm", "training")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in modules if re.search(r"f\".*no such (?:file|folder)(?! or)", path.read_text())] == []
