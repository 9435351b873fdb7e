"""What one axis contributes to the reports, and the registry of those that do.

@axis-dev: write a function that takes one study's records of your axis and returns a ``StudyPage``; it may write
figures and CSV tables below ``results/<study>``. Put it into a ``Chapter`` and register that here under the axis'
name, or by the entry point ``paradigm_bench.chapter``. The report puts pages and overview together from these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common.registry import Registry
from ..analysis.records import Record
from .table import Table

CHAPTERS = Registry(
    "chapter",
    {
        "fidelity": "paradigm_bench.benchmarks.axes.fidelity.report.chapter:CHAPTER",
        "control": "paradigm_bench.benchmarks.axes.control.report.chapter:CONTROL",
        "inpainting": "paradigm_bench.benchmarks.axes.control.report.chapter:INPAINTING",
        "frame_rate": "paradigm_bench.benchmarks.axes.frame_rate.report.chapter:CHAPTER",
        "latency": "paradigm_bench.benchmarks.axes.latency.report.chapter:CHAPTER",
        "reconstruction": "paradigm_bench.benchmarks.axes.reconstruction.report.chapter:CHAPTER",
        "samplesize": "paradigm_bench.benchmarks.axes.samplesize.report.chapter:CHAPTER",
    },
)


@dataclass(frozen=True)
class StudyRecords:
    """All records (oldest first) of one study on one axis; ``folder`` is ``results/<name>``."""

    name: str
    folder: Path
    records: list[Record]


@dataclass(frozen=True)
class Answer:
    """A question of the reader and what one study says about it.

    Attributes:
        question: in plain words, with the metric and its better end; the same in all studies that answer it.
        answer: one line of Markdown.
        basis: what the answer rests on (updates, seeds, prompts).
    """

    question: str
    answer: str
    basis: str = ""


@dataclass(frozen=True)
class StudyPage:
    """What one study says on one axis.

    Attributes:
        about: what was measured, in a sentence.
        table: the main table.
        answers: in short; empty where nothing was compared.
        details: Markdown paragraphs below them, headings (``## ...``) among them; links start from the study's folder.
        row: its line in the axis' table of the report, column -> text.
        weight: how much it rests on. Of the studies of an axis, the one with the most leads the report.
        chart: the figure that shows the answers, with its caption.
        notes: sentences on the table that stand on the page and in the terminal.
    """

    about: str
    table: Table
    answers: Sequence[Answer] = ()
    details: Sequence[str] = ()
    row: Mapping[str, str] = field(default_factory=dict)
    weight: tuple[float, ...] = ()
    chart: Path | None = None
    caption: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Chapter:
    """An axis.

    Attributes:
        title: its heading in the report, and of its group of pages.
        asks: what the axis asks and where to read how it is measured, in Markdown; links start from the repository.
        tell: makes a study's page.
    """

    title: str
    asks: str
    tell: Callable[[StudyRecords], StudyPage]


def anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
