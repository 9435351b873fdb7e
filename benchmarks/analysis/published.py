"""What the papers state: results, hyper-parameters, claims and mistakes, from the files in ``published_data``.

These files are the only source of published numbers. They come with the package, so they are found wherever it is
installed. A number that a paper has, but that could not be read from it, has an empty value and a note that says why.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ...common.config import from_dict
from ...common.errors import UserError

T = TypeVar("T")
FOLDER = Path(__file__).parent / "published_data"
NAMES = {
    "tal2025": "Tal et al. 2025",
    "mntp2025": "AudioMNTP 2025",
    "impact2025": "IMPACT 2025",
    "maskaudioflow2025": "MaskAudioFlow 2025",
    "joint": "Across papers",
    "across": "Across papers",
}


@dataclass(frozen=True)
class PublishedResult:
    """One published number.

    Attributes:
        paper: key of ``NAMES``.
        table: where it is printed: ``Table 2``, ``Section 5.4 text`` ...
        setting: the conditions it was measured under, e.g. ``{"steps": "50"}``; always text.
        value: as printed; empty where it could not be read from the paper.
        uncertainty: half-width, as printed; ``uncertainty_kind`` says what it is.
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
        """The value as a number; None where there is none."""
        return float(self.value) if self.value else None


@dataclass(frozen=True)
class PublishedHyperparameter:
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
    """What a paper claims; ``evidence``: its numbers for it; ``check``: whether its own numbers support it."""

    id: str
    paper: str
    statement: str
    source: str = ""
    evidence: str = ""
    check: str = ""


@dataclass(frozen=True)
class Inconsistency:
    """A mistake in a paper, and the reading of it that makes sense."""

    id: str
    paper: str
    problem: str
    reading: str = ""


def results() -> list[PublishedResult]:
    """All published results.

    Raises:
        UserError: a line of the file lacks a column, or has a value that is not a number.
    """
    return list(_table("results.csv", _result))


def hyperparameters() -> list[PublishedHyperparameter]:
    """All published hyper-parameters."""
    return list(
        _table("hyperparameters.csv", lambda row: from_dict(PublishedHyperparameter, row, "hyperparameters.csv"))
    )


def claims() -> list[Claim]:
    """All claims, in the papers' order."""
    return _listed("claims.yaml", Claim)


def inconsistencies() -> list[Inconsistency]:
    """All known mistakes in the papers."""
    return _listed("inconsistencies.yaml", Inconsistency)


def _result(row: dict[str, str]) -> PublishedResult:
    setting = dict(part.split("=", 1) for part in row["setting"].split(";") if part)
    result = PublishedResult(**{**row, "setting": setting})  # type: ignore[arg-type]
    if result.value:
        float(result.value)
    return result


def _table(name: str, read: Callable[[dict[str, str]], T]) -> Iterator[T]:
    path = FOLDER / name
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                yield read(row)
            except (KeyError, ValueError, TypeError, UserError) as error:
                what = str(error).removeprefix(f"{name}: ")
                raise UserError(f"{path}, line {number}: not a published figure ({what}); restore the file") from error


def _listed(name: str, cls: type[T]) -> list[T]:
    path = FOLDER / name
    return [from_dict(cls, row, f"{path}: {row.get('id', i)}") for i, row in enumerate(read_yaml(path))]


def read_yaml(path: Path) -> Any:
    """Read a YAML file safely.

    Raises:
        UserError: the file is not valid YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
