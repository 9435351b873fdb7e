"""Downloads the packages that ``scripts/gpu.py`` imports and that a machine with only torch and its companions lacks.

``tests/integration/test_gpu_script.py`` runs all parts with these packages and without any other, so the list is
complete.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from paradigm_bench.common.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("msgspec", "pyloudnorm")
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""pip accepts a wheel only if one of its platforms is listed."""


def gather(folder: Path, dry: bool) -> int:
    """Download the wheels into ``folder`` and print how to install them; returns the exit status of pip.

    Args:
        dry: print the commands only.

    Raises:
        UserError: ``folder`` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"wheels: {folder} is a file; name a folder")
    command = download(folder)
    print("$", shlex.join(command), flush=True)
    status = 0 if dry else subprocess.run(command).returncode
    if status == 0:
        print(f"on the machine with the GPU:\n{installation(folder)}")
    return status


def download(folder: Path) -> list[str]:
    """The pip command, with the versions that the tests use."""
    pinned = versions()
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON,
        "--implementation", "cp", *platforms, "--dest", str(folder), *(f"{name}=={pinned[name]}" for name in PACKAGES),
    ]  # fmt: skip


def versions() -> dict[str, str]:
    """Package -> version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))


def installation(folder: Path) -> str:
    """Commands that install the wheels without a network."""
    return (
        f"python3 -m pip install --no-index --no-deps --target site {shlex.quote(folder.name)}/*.whl\n"
        "export PYTHONPATH=$PWD/site"
    )
