"""Make a script's venv, run the script in it, and check what comes back.

Dependencies are installed in two steps, since the metadata of several packages exclude versions with which they work:
first all others, then those under ``no-deps`` without theirs. With ``borrow`` the venv also sees the packages of this
Python and installs only what is missing or pinned otherwise: seconds and megabytes instead of minutes and gigabytes.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ....common.errors import UserError
from ....common.files import read_json, write_json
from . import Environment

FORMAT = 1  # of the exchanged files, as in scripts/exchange.py
OWN_PIP = importlib.util.find_spec("pip") is not None  # saves the venv a pip of its own
MARKER = "installed.json"  # written last: a folder without it is not whole


@dataclass(frozen=True)
class Reply:
    """What a script answered: arrays, versions of its packages, digest of its weights, other facts."""

    arrays: dict[str, np.ndarray]
    versions: dict[str, str]
    weights: str | None
    facts: dict[str, Any] = field(default_factory=dict)


def installed(env: Environment) -> bool:
    """Whether the venv is there and whole."""
    return (env.folder / MARKER).exists()


def install(env: Environment, borrow: bool = False) -> None:
    """Make the venv anew.

    Raises:
        UserError: pip fails; its last line is in the message.
    """
    shutil.rmtree(env.folder, ignore_errors=True)
    wanted = [d for d in env.dependencies if not (borrow and _satisfied(d))]
    last = [d for d in wanted if d.split("==")[0] in env.no_deps]
    venv.create(env.folder, with_pip=bool(wanted) and not OWN_PIP, symlinks=os.name != "nt")
    if borrow:
        where = [_python(env), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
        Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _pip(env, [d for d in wanted if d not in last], [])
    _pip(env, last, ["--no-deps"])
    write_json(env.folder / MARKER, {"borrow": borrow, "installed": wanted})


def run(
    env: Environment,
    task: str,
    arrays: Mapping[str, np.ndarray],
    *,
    sample_rate: int = 0,
    captions: Sequence[str] = (),
    weights: str = "",
    model: str = "",
    random: bool = False,
    options: Mapping[str, Any] | None = None,
    timeout: float = 3600.0,
) -> Reply:
    """Run one task of a script.

    Args:
        arrays: by name, as the task wants them.
        sample_rate, captions: of the clips among them, if any.
        weights: local file or folder; ``""``: what lies in ``env.weights_folder``, else the package's download.
        model: one of ``env.models``.
        random: random weights, for a check of the machinery.
        options: what else the task takes; JSON-ready.
        timeout: seconds.

    Raises:
        UserError: not installed, the script says what is wrong, dies or takes too long, or its answer is broken.
    """
    from safetensors.numpy import save_file

    if not installed(env):
        raise UserError(f"{env.name} is not installed; run `bench evaluators install {env.name}`")
    local = Path(weights).expanduser().resolve() if weights else None
    if local and not local.exists():
        raise UserError(f"{env.name}: no weights at {weights}; give a downloaded file or folder ({env.weights})")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        request = {"format": FORMAT, "task": task, "sample_rate": sample_rate, "captions": list(captions)}
        request |= {"weights": str(local) if local else None, "model": model}
        request |= {"random": random, "folder": str(env.weights_folder), "options": dict(options or {})}
        write_json(folder / "request.json", request)
        save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / "request.safetensors")
        _execute(env, folder, timeout)
        return _answer(env, folder)


def _execute(env: Environment, folder: Path, timeout: float) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    command = [_python(env), str(env.script), str(folder)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, timeout=timeout, capture_output=True, text=True, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{env.name}: no answer within {timeout:g} s; score fewer clips at a time") from error
    if done.returncode != 0 or not (folder / "reply.json").exists():
        last = _last_line(done.stderr) or "it said nothing"
        raise UserError(
            f"{env.name}: its script died (status {done.returncode}): {last}; "
            f"try `bench evaluators check {env.name}`, or install it anew"
        )


def _answer(env: Environment, folder: Path) -> Reply:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    reply = read_json(folder / "reply.json")
    if "error" in reply:
        raise UserError(f"{env.name}: {reply['error']}")
    if reply.get("format") != FORMAT:
        raise UserError(f"{env.name}: its answer has format {reply.get('format')}, not {FORMAT}; mend its script")
    try:
        arrays = load_file(folder / "reply.safetensors")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{env.name}: its answer cannot be read: {error}; mend its script") from error
    for key, value in arrays.items():
        if not np.isfinite(value).all():
            raise UserError(f"{env.name}: its answer {key!r} holds NaN or infinity; are the weights whole?")
    return Reply(arrays, reply["versions"], reply["weights"], reply["facts"])


def _pip(env: Environment, requirements: Sequence[str], options: list[str]) -> None:
    if not requirements:
        return
    pip = [sys.executable, "-m", "pip", "--python", _python(env)] if OWN_PIP else [_python(env), "-m", "pip"]
    command = [*pip, "install", "--quiet", "--disable-pip-version-check", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise UserError(f"{env.name}: pip failed: {_last_line(done.stderr)}; is there a network, or a free disk?")


def _python(env: Environment) -> str:
    return str(env.folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def _satisfied(requirement: str) -> bool:
    """Whether this Python has a version that will do; a local label such as ``+cpu`` makes no difference."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" ╭╮╰╯│─━")]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1][:300]
