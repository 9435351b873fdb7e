"""What one axis contributes to the reports.

@axis-dev: write a function that takes one study's records of your axis and returns a ``StudyPage``; it may write
figures and CSV tables below ``results/<study>``. Put it into a ``Chapter`` and name that in the attribute ``chapter``
of your ``Axis``. The report puts pages and overview together from these. Take the rows from
``analysis.result_table.make_table`` (or ``comparability.select``), so that no table mixes settings and failed cells are
rows with their reason, and hand its ``left_out`` to the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common.errors import UserError
from ...common.registry import Registry
from ..analysis.comparability import left_out_lines
from ..analysis.records import Record
from ..study.axis import AXES, find_axis
from .markup import Table

CHAPTERS = Registry("chapter", {})  # loads what an axis names


@dataclass(frozen=True)
class StudyRecords:
    """All records (oldest first) of one study on one axis; ``folder`` is ``results/<name>``."""

    name: str
    folder: Path
    records: list[Record]


@dataclass(frozen=True)
class Answer:
    """A question and the answer that one study gives.

    Attributes:
        question: in plain words, with the metric and its better end; the same text in all studies that answer it.
        answer: one line of Markdown.
        basis: what the answer is based on (updates, seeds, prompts).
    """

    question: str
    answer: str
    basis: str = ""


@dataclass(frozen=True)
class StudyPage:
    """What one study shows on one axis.

    Attributes:
        about: what was measured, in a sentence.
        table: the main table.
        answers: the answers in short; empty where nothing was compared.
        details: Markdown paragraphs below the answers, with headings (``## ...``); links start from the study's folder.
        row: the study's row in the axis' table of the report, column -> text.
        weight: how much evidence the study has. The study of an axis with the most leads the report.
        chart: the figure that shows the answers; ``caption`` is its caption.
        notes: sentences on the table, for the page and the terminal.
        left_out: how many records are in no table, by the reason (``comparability.select``); shown after the notes.
        brief: what the study shows, in the lines with which the report begins if the study leads it.
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
    left_out: Mapping[str, int] = field(default_factory=dict)
    brief: Sequence[str] = ()

    @property
    def left_out_note(self) -> list[str]:
        """The sentence on the records that are in no table; none where all are."""
        lines = left_out_lines(self.left_out)
        return [f"Records of other settings, not shown: {'; '.join(lines)}."] if lines else []


@dataclass(frozen=True)
class Chapter:
    """How an axis is reported.

    Attributes:
        title: its heading in the report, and that of its group of pages.
        asks: what the axis asks, and a link to how it is measured, in Markdown; links start from the repository's root.
        describe: makes a study's page.
    """

    title: str
    asks: str
    describe: Callable[[StudyRecords], StudyPage]


def find_chapter(axis: str) -> Chapter | None:
    """The chapter of an axis; None where the axis has none, or is not installed here."""
    try:
        named = find_axis(axis).chapter
    except UserError:
        if axis in AXES.names():
            raise
        return None
    found: Chapter | None = CHAPTERS.load(named) if named else None
    return found


def in_order(axes: Collection[str]) -> list[str]:
    """``axes`` in the order of the registry, others behind."""
    known = [axis for axis in AXES.names() if axis in axes]
    return known + sorted(set(axes) - set(known))


def anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
