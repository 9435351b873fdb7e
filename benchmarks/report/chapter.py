"""What one axis contributes to the report, and the registry of those that do.

@axis-dev: write a function that takes the axis' studies and the folder of REPORT.md (which links start from) and
returns a ``Chapter``; it also writes its figures and CSV tables below ``results/<study>``. Register it here under the
axis' name, or by the entry point ``paradigm_bench.chapter``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.records import Record
from common.registry import Registry

CHAPTERS = Registry(
    "chapter",
    {
        "fidelity": "benchmarks.report.fidelity:chapter",
        "control": "benchmarks.report.controlled:control",
        "inpainting": "benchmarks.report.controlled:inpainting",
        "frame_rate": "benchmarks.report.frame_rate:chapter",
        "latency": "benchmarks.report.latency:chapter",
        "reconstruction": "benchmarks.report.reconstruction:chapter",
        "samplesize": "benchmarks.report.samplesize:chapter",
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
    """A line of the report at a glance.

    Attributes:
        question: what a reader wants to know.
        answer: what the records say, in one line of Markdown.
        heading: of the section with the evidence.
        basis: what it rests on (updates, seeds, prompts).
    """

    question: str
    answer: str
    heading: str
    basis: str = ""


@dataclass(frozen=True)
class Chapter:
    """An axis, told.

    Attributes:
        title: of its first heading, which contents link to.
        parts: Markdown paragraphs, that heading among them; empty ones are dropped.
        summaries: study -> text for the terminal.
        readme: name of a pair of markers in README.md -> Markdown to stand between them.
        answers: its lines of the report at a glance.
    """

    title: str
    parts: Sequence[str]
    summaries: Mapping[str, str]
    readme: Mapping[str, str] = field(default_factory=dict)
    answers: Sequence[Answer] = ()

    @property
    def anchor(self) -> str:
        """GitHub's link to the heading ``title``."""
        return anchor(self.title)


def anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
