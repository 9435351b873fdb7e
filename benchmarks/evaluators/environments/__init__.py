"""Evaluators whose packages fight with the core's or with each other: a small script each, in a venv of its own.

A script under ``scripts/`` declares all about itself in a PEP 723 block at its head: what it depends on, and in
``[tool.bench]`` what it is, its licence, its sample rate, where its weights come from. This file reads those blocks;
``running.py`` makes the venv and runs the script; ``evaluator.py`` makes an ``Evaluator`` of one that hears clips.
A new one needs a new script, and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ....common.config import config_hash, from_dict
from ....common.errors import UserError, did_you_mean
from ....common.files import cache_dir

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Environment:
    """What a script says about itself.

    Attributes:
        name: e.g. ``"panns"``, from the file name ``panns_env.py``.
        script: the file.
        dependencies: requirements, complete and pinned.
        about: one line.
        licence: of code and weights.
        check: the task that ``bench evaluators check`` runs; ``"hear"`` for an evaluator.
        sample_rate: of the clips that it takes, Hz; 0 for one that takes no clips.
        window_seconds: cut clips into windows of this length and average the results; 0 for whole clips.
        no_deps: names among the dependencies to install last and without what their metadata ask for.
        weights: what is downloaded, or ``""``.
        models: networks to choose from, with their sample rates; empty where there is one.
    """

    name: str
    script: Path
    dependencies: tuple[str, ...]
    about: str
    licence: str
    check: str
    sample_rate: int = 0
    window_seconds: float = 0.0
    no_deps: tuple[str, ...] = ()
    weights: str = ""
    models: Mapping[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The venv's place in the cache; another list of dependencies has another place."""
        return cache_dir(
            "environments", f"{self.name}-{config_hash([sorted(self.dependencies), sorted(self.no_deps)])}"
        )

    @property
    def weights_folder(self) -> Path:
        """Where downloads are kept, and where a local file of the same name is found."""
        return cache_dir("weights", self.name)

    @property
    def hears(self) -> bool:
        """Whether it is an evaluator; the others are cross-checks and importers."""
        return self.check == "hear"


@dataclass(frozen=True)
class _Block:
    about: str
    licence: str
    check: str
    sample_rate: int = 0
    window_seconds: float = 0.0
    no_deps: list[str] = field(default_factory=list)
    weights: str = ""
    models: dict[str, int] = field(default_factory=dict)


def read(script: Path) -> Environment:
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
    return Environment(
        name=script.stem.removesuffix("_env"),
        script=script,
        dependencies=tuple(data.get("dependencies", [])),
        no_deps=tuple(about.no_deps),
        **{name: getattr(about, name) for name in set(_Block.__annotations__) - {"no_deps"}},
    )


def environments() -> dict[str, Environment]:
    """All of them, by name."""
    return {env.name: env for env in map(read, sorted(SCRIPTS.glob("*_env.py")))}


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
