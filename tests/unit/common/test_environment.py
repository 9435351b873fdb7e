"""The revision in records: that of this checkout, and none where the package is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paradigm_bench.common import environment


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_checkout_has_a_revision_and_is_dirty_after_a_change(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ROOT", checkout)
    revision = git(checkout, "rev-parse", "HEAD").strip()
    assert environment.git_state() == {"revision": revision, "dirty": False}
    (checkout / "code.py").write_text("a = 2\n")
    assert environment.git_state() == {"revision": revision, "dirty": True}


def test_an_installed_package_has_no_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where site-packages lies inside a repository of somebody else."""
    installed = checkout / "venv" / "site-packages" / "paradigm_bench"
    installed.mkdir(parents=True)
    monkeypatch.setattr(environment, "ROOT", installed)
    assert environment.git_state() == {"revision": "", "dirty": None}
    assert environment.environment()["git"] == {"revision": "", "dirty": None}
