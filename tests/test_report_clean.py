"""``bench report`` on the repository's own results changes no file that git tracks, on any machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


def status() -> str:
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout if done.returncode == 0 else "no git checkout"


def test_the_published_report_is_what_its_records_say() -> None:
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    if before := status():
        pytest.skip(f"files are changed already: {before.splitlines()[0].strip()}")
    command = [sys.executable, "-m", "benchmarks.cli", "report", "--results", "results"]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert status() == ""
