"""What papers state: results, hyper-parameters, claims and inconsistencies, from ``results/published``.

The one source of published numbers: chapters, the papers' pages and the claims ledger all read them here. A number that
the paper has, but that could not be read from it, is there with an empty value and a note that says why.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...common.config import from_dict
from ...common.errors import UserError

T = TypeVar("T")
NAMES = {
    "tal2025": "Tal et al. 2025",
    "mntp2025": "AudioMNTP 2025",
    "impact2025": "IMPACT 2025",
    "maskaudioflow2025": "MaskAudioFlow 2025",
    "joint": "Across papers",
    "across": "Across papers",
}


@dataclass(frozen=True)
class Stated:
    """One stated figure.

    Attributes:
        paper: key of ``NAMES``. table: ``Table 2``, ``Section 5.4 text`` ...
        setting: what else decides the row, e.g. ``{"steps": "50"}``; always text.
        value: as printed; empty where it could not be read from the paper.
        uncertainty: half-width, as printed; what it is says ``uncertainty_kind``.
    """

    paper: str
    table: str
    system: str
    paradigm: str
    representation: str
    setting: Mapping[str, str]
    metric: str
    value: str
    uncertainty: str
    uncertainty_kind: str
    better: str
    note: str

    @property
    def number(self) -> float | None:
        """The value as a number, None where there is none."""
        return float(self.value) if self.value else None


@dataclass(frozen=True)
class Setting:
    """One hyper-parameter as a paper states it."""

    paper: str
    system: str
    component: str
    name: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True)
class Claim:
    """What a paper claims; ``evidence``: its numbers for it; ``check``: whether its own numbers carry it."""

    id: str
    paper: str
    statement: str
    source: str = ""
    evidence: str = ""
    check: str = ""


@dataclass(frozen=True)
class Inconsistency:
    """A mistake in a paper, and the reading that makes sense."""

    id: str
    paper: str
    problem: str
    reading: str = ""


def results(folder: Path) -> list[Stated]:
    """All stated results below the results folder ``folder``; none where it has no such file.

    Raises:
        UserError: a line without its columns, or with a value that is no number.
    """
    return list(_table(folder, "results.csv", _stated))


def hyperparameters(folder: Path) -> list[Setting]:
    """All stated hyper-parameters."""
    return list(_table(folder, "hyperparameters.csv", lambda row: from_dict(Setting, row, "hyperparameters.csv")))


def claims(folder: Path) -> list[Claim]:
    """All claims, in the papers' order."""
    return _listed(folder, "claims.yaml", Claim)


def inconsistencies(folder: Path) -> list[Inconsistency]:
    """All known mistakes in the papers."""
    return _listed(folder, "inconsistencies.yaml", Inconsistency)


def home(folder: Path) -> Path:
    """Where published data lies below the results folder."""
    return folder / "published"


def _stated(row: dict[str, str]) -> Stated:
    setting = dict(part.split("=", 1) for part in row["setting"].split(";") if part)
    one = Stated(**{**row, "setting": setting})  # type: ignore[arg-type]
    if one.value:
        float(one.value)
    return one


def _table(folder: Path, name: str, read: Callable[[dict[str, str]], T]) -> Iterator[T]:
    path = home(folder) / name
    if not path.is_file():
        return
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                yield read(row)
            except (KeyError, ValueError, TypeError, UserError) as error:
                what = str(error).removeprefix(f"{name}: ")
                raise UserError(f"{path}, line {number}: not a published figure ({what}); restore the file") from error


def _listed(folder: Path, name: str, cls: type[T]) -> list[T]:
    path = home(folder) / name
    if not path.is_file():
        return []
    return [from_dict(cls, row, f"{path}: {row.get('id', i)}") for i, row in enumerate(read_yaml(path))]


def read_yaml(path: Path) -> Any:
    """A YAML file, read safely.

    Raises:
        UserError: it is no YAML.
    """
    import yaml

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
