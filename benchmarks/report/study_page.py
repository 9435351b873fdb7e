"""The page of one study, ``results/<study>/README.md``, put together from the chapters of its axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...common.lines import count, say
from ..analysis.records import load_typed
from ..study.load import title_of
from .chapter import Chapter, StudyPage, StudyRecords, find_chapter, in_order
from .markup import bullets, folded, image, write_changed
from .page import Section

PAGE = "README.md"
SHOWN_NOTES = 12  # a longer list of notes is folded


@dataclass(frozen=True)
class StudyReport:
    """The content of one study's page.

    Attributes:
        folder: ``results/<study>``.
        title: what it asks; empty for a study that does not come with the suite.
        pages: axis -> what the study shows on it.
        facts: names of the corpora, evaluators and judges of its records, and their seeds.
        records: number of records.
    """

    study: str
    folder: Path
    title: str
    pages: Mapping[str, StudyPage]
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    records: int = 0

    @property
    def heading(self) -> str:
        """The page's title."""
        return f"{self.study}: {self.title}" if self.title else self.study

    def text(self) -> str:
        """The page, as Markdown."""
        parts = [f"# {self.heading}"]
        for axis, page in self.pages.items():
            parts += [f"## {chapter(axis).title}"] if len(self.pages) > 1 else []
            parts += [page.about, "## Scores", page.table.markdown()]
            if page.answers or page.notes or page.left_out:
                parts.append("## In short")
            parts.append(bullets(f"{one.question} **{one.answer}**." for one in page.answers))
            parts += [*_notes(page), bullets(page.left_out_note), image(page.chart, self.folder, page.caption)]
            parts += page.details
        return "\n\n".join(part for part in parts if part) + "\n"

    def section(self) -> Section:
        """The page as a part of an HTML page."""
        group = chapter(next(iter(self.pages))).title
        return Section(self.study, group, self.text(), self.folder, PAGE)

    def summary(self) -> str:
        """Plain text for the terminal: tables, answers and notes."""
        parts = []
        for page in self.pages.values():
            answers = [f"{one.question}\n    {one.answer}" for one in page.answers]
            parts += [
                f"{self.heading}\n{page.about}",
                page.table.plain(),
                bullets([*answers, *page.notes, *page.left_out_note]),
            ]
        return "\n\n".join(part for part in parts if part)


def make_study(results: Path, study: str) -> StudyReport:
    """Write the page of one study with its tables and figures; returns its content.

    Records that cannot be read, or whose axis has no chapter, are reported on stderr and left out.
    """
    folder = results / study
    records, problems = load_typed(folder)
    counted = Counter(record.axis for record in records)
    chapters = {axis: find_chapter(axis) for axis in in_order(counted)}
    unknown = [axis for axis in counted if chapters[axis] is None]
    problems += [f"{count(counted[axis], 'record')} of {folder}: no chapter for axis {axis!r}" for axis in unknown]
    for problem in problems:
        say(f"left out: {problem}")
    by_axis = {axis: [record for record in records if record.axis == axis] for axis in chapters}
    pages = {
        axis: found.describe(StudyRecords(study, folder, by_axis[axis]))
        for axis, found in chapters.items()
        if found is not None
    }
    facts = {
        "corpora": frozenset(_corpus(record.cell) for record in records) - {""},
        "evaluators": frozenset(_evaluator(record.cell) for record in records) - {""},
        "judges": frozenset(name for record in records for name in _judges(record.cell)),
        "seeds": frozenset(str(record.seed) for record in records if record.kind == "paradigm"),
    }
    report = StudyReport(study, folder, title_of(study), pages, facts, len(records))
    if pages:
        write_changed(folder / PAGE, report.text())
    return report


def chapter(axis: str) -> Chapter:
    """The chapter of an axis that has a page."""
    found = find_chapter(axis)
    assert found is not None, axis
    return found


def _notes(page: StudyPage) -> list[str]:
    if len(page.notes) <= SHOWN_NOTES:
        return [bullets(page.notes)]
    return [folded(f"All {len(page.notes)} findings", bullets(page.notes))]


def _corpus(cell: Mapping[str, object]) -> str:
    data = cell.get("data") or {}
    corpus = (data.get("corpus") if isinstance(data, Mapping) else None) or cell.get("corpus") or {}
    return str(corpus.get("name", "")) if isinstance(corpus, Mapping) else ""


def _evaluator(cell: Mapping[str, object]) -> str:
    eval_set = cell.get("evaluation") or {}
    judge = eval_set.get("evaluator") if isinstance(eval_set, Mapping) else None
    return str(judge.get("name", "")) if isinstance(judge, Mapping) else ""


def _judges(cell: Mapping[str, object]) -> list[str]:
    eval_set = cell.get("evaluation") or {}
    named = eval_set.get("judges") if isinstance(eval_set, Mapping) else None
    return [str(one.get("name", "")) for one in named if isinstance(one, Mapping)] if isinstance(named, list) else []
