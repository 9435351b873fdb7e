"""Where a measurement was made: code revision, package versions, processor, threads, device."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "transformers", "soundfile", "librosa")
ROOT = Path(__file__).resolve().parent.parent
"""The package: the checkout of the repository, or a folder in site-packages."""
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Default of a process, which must hold before numpy loads: matrices are small here, and threads that wait for each
other made the metrics of a panel 20 times slower. A user's own value is kept."""


def environment(device: str = "cpu") -> dict[str, Any]:
    """What readers need to judge whether two records are comparable, as JSON-ready data."""
    return {
        "git": git_state(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "system": platform.system(),
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": threads(),
        "device": device_name(device),
    }


def threads() -> int:
    """Threads that one operation may use: torch's own number if it is loaded, else the number it would choose."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def git_state() -> dict[str, Any]:
    """Revision of the checkout that this code runs from, and whether tracked code differs from it.

    An installed package has no revision: ``{"revision": "", "dirty": None}``, also where site-packages lies inside
    somebody else's repository.
    """
    revision = _git("rev-parse", "HEAD") if (ROOT / ".git").exists() else ""
    if not revision:
        return {"revision": "", "dirty": None}
    # Results, reports and the table in README are outputs: writing them does not change the code.
    outputs = [f":!{path}" for path in ("results", "REPORT.md", "README.md", "docs")]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *outputs)
    return {"revision": revision, "dirty": bool(changed)}


def package_version(name: str) -> str | None:
    """The installed version of a distribution; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """``cpu``, or the name of the GPU."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
