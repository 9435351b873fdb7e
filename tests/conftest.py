"""What tests of several files share: one thread per process, as in ``make test``, and a disk that is soon full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported: sums over several threads round otherwise, and processes would fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 16 pages of 4096 bytes."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk to fill")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)
