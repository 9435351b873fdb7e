"""Environments of evaluators whose packages conflict with the core's or with each other: a venv and a script for each.

A script under ``scripts/`` describes itself in a PEP 723 block at its head: its dependencies, and in ``[tool.bench]``
what it is, its licence, its sample rate, and the source of its weights. This module reads those blocks, makes the venv,
runs the script in it, and checks the reply. ``evaluator.py`` wraps a script that embeds clips as an ``Evaluator``.

Dependencies are installed in two steps, because the metadata of several packages exclude versions with which they work:
first all others, then those under ``no-deps`` without their own dependencies. With ``borrow`` the venv also sees the
packages of this Python and installs only what is missing or pinned to another version: seconds and megabytes instead of
minutes and gigabytes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ....common.config import config_hash, from_dict
from ....common.errors import UserError, did_you_mean
from ....common.files import cache_dir, read_json, write_json

SCRIPTS = Path(__file__).parent / "scripts"
FORMAT = 1  # of the exchanged files, as in scripts/exchange.py
OWN_PIP = importlib.util.find_spec("pip") is not None  # then the venv does not need a pip of its own
MARKER = "installed.json"  # written last: a folder without it is incomplete


@dataclass(frozen=True, kw_only=True)
class _Block:
    """The fields of ``[tool.bench]`` in a script's PEP 723 block.

    Attributes:
        about: description in one line.
        licence: of code and weights.
        check: the task that ``bench evaluators check`` runs: ``"evaluate"``, or that of a cross-check or importer.
        sample_rate: of the clips that it takes, in Hz; 0 for a script that takes no clips.
        window_seconds: cut clips into windows of this length and average the results; 0 for whole clips.
        no_deps: names among the dependencies to install last, without their own dependencies.
        weights: URL or description of the weights, or ``""``.
        models: networks to choose from, with their sample rates; empty where there is one.
    """

    about: str
    licence: str
    check: str
    sample_rate: int = 0
    window_seconds: float = 0.0
    no_deps: tuple[str, ...] = ()
    weights: str = ""
    models: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Environment(_Block):
    """The description of a script, from its PEP 723 block.

    Attributes:
        name: e.g. ``"panns"``, from the file name ``panns_env.py``.
        script: the file.
        dependencies: requirements, complete and pinned.
    """

    name: str
    script: Path
    dependencies: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The venv's folder in the cache, which depends on the list of dependencies."""
        return cache_dir(
            "environments", f"{self.name}-{config_hash([sorted(self.dependencies), sorted(self.no_deps)])}"
        )

    @property
    def weights_folder(self) -> Path:
        """Folder of downloads, in which a local file of the same name is found too."""
        return cache_dir("weights", self.name)


def read_script(script: Path) -> Environment:
    """The environment that a script's PEP 723 block describes.

    Raises:
        UserError: no such block, or unknown fields in its ``[tool.bench]``.
    """
    block = re.search(r"(?m)^# /// script$\n((?:^#(?: .*)?$\n)+?)^# ///$", script.read_text(encoding="utf-8"))
    if block is None:
        raise UserError(f"{script.name}: no block '# /// script' (PEP 723); declare the script's dependencies in one")
    try:
        data = tomllib.loads("\n".join(line[2:] for line in block[1].splitlines()))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{script.name}: its PEP 723 block is no valid TOML: {error}") from error
    fields = {key.replace("-", "_"): value for key, value in data.get("tool", {}).get("bench", {}).items()}
    about = from_dict(_Block, fields, f"{script.name}: [tool.bench]")
    dependencies = tuple(data.get("dependencies", []))
    return Environment(name=script.stem.removesuffix("_env"), script=script, dependencies=dependencies, **vars(about))


def environments() -> dict[str, Environment]:
    """All environments, by name."""
    return {env.name: env for env in map(read_script, sorted(SCRIPTS.glob("*_env.py")))}


def get_environment(name: str) -> Environment:
    """The environment called ``name``.

    Raises:
        UserError: there is none.
    """
    known = environments()
    if name not in known:
        hint = did_you_mean(name, list(known))
        raise UserError(f"no evaluator environment is called {name!r}{hint}; known: {', '.join(known)}")
    return known[name]


@dataclass(frozen=True)
class ScriptReply:
    """The reply of a script: arrays, versions of its packages, digest of its weights, other facts."""

    arrays: dict[str, np.ndarray]
    versions: dict[str, str]
    weights: str | None
    facts: dict[str, Any] = field(default_factory=dict)


def installed(env: Environment) -> bool:
    """Whether the venv exists and is complete."""
    return (env.folder / MARKER).exists()


def install(env: Environment, borrow: bool = False) -> None:
    """Make the venv, replacing an existing one.

    Raises:
        UserError: pip fails; the message has its last line.
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
) -> ScriptReply:
    """Run one task of a script.

    Args:
        arrays: by name, as the task expects them.
        sample_rate, captions: of the clips among them, if any.
        weights: local file or folder; ``""``: what lies in ``env.weights_folder``, else the package's download.
        model: one of ``env.models``.
        random: use random weights, for a check of the installation.
        options: further settings of the task; JSON-ready.
        timeout: in seconds.

    Raises:
        UserError: not installed; the script reports an error, dies or takes too long; or its reply is broken.
    """
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
        last = last_line(done.stderr) or "it said nothing"
        raise UserError(
            f"{env.name}: its script died (status {done.returncode}): {last}; "
            f"try `bench evaluators check {env.name}`, or install it anew"
        )


def _answer(env: Environment, folder: Path) -> ScriptReply:
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
    return ScriptReply(arrays, reply["versions"], reply["weights"], reply["facts"])


def _pip(env: Environment, requirements: Sequence[str], options: list[str]) -> None:
    if not requirements:
        return
    pip = [sys.executable, "-m", "pip", "--python", _python(env)] if OWN_PIP else [_python(env), "-m", "pip"]
    command = [*pip, "install", "--quiet", "--disable-pip-version-check", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise UserError(f"{env.name}: pip failed: {last_line(done.stderr)}; is there a network, or a free disk?")


def _python(env: Environment) -> str:
    return str(env.folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def _satisfied(requirement: str) -> bool:
    """Whether this Python has a version that fits; a local label such as ``+cpu`` is ignored."""
    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def last_line(text: str) -> str:
    """The last line of a program's output that reports an error, or its last line, without frames; 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" ╭╮╰╯│─━")]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1][:300]
