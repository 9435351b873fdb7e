"""``bench report`` in a fresh clone changes no file that git tracks, on any machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def test_the_published_report_is_what_its_records_say(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    clone = tmp_path / "paradigm_bench"  # the repository's root is the package
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True, timeout=300)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "paradigm_bench.benchmarks.cli.main", "report"]
    subprocess.run(command, cwd=clone, check=True, timeout=600, env=environment)
    status = ["git", "status", "--porcelain"]
    assert subprocess.run(status, cwd=clone, check=True, capture_output=True, text=True).stdout == ""
