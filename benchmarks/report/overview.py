"""REPORT.md: what was asked, the answers so far, how sure they are, a table per axis, and links to everything else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...common.lines import count
from ..analysis.locations import PUBLISHED
from ..papers.report import QUESTION, Told
from .chapter import CHAPTERS, Answer, StudyPage
from .markup import bullets, image, link
from .page import Section
from .study_page import PAGE, StudyReport, chapter
from .summary import HOW, answer_table
from .table import Table

ASKED = """\
Which generative paradigm suits text-to-music and text-to-audio? Published models differ in much more than the paradigm.
Here everything else is the same for all arms: the transformer, the latents, the clips and captions in the same order,
the training loop, the number of updates and the evaluation. An arm is a paradigm with its settings:

- `ar`: autoregression over the codec's codes
- `fm`: flow matching on continuous latents
- `mar`: masked autoregression in random order, with a diffusion head
- `masked_fm`: masked flow matching, with a flow head
- `mntp`, `ntp`: masked and plain next-token prediction, with a diffusion head"""
WRITTEN = "`bench report` writes this file and the pages it links to from the records; nothing in it is typed by hand."
PAPERS = """\
Pages of four papers hold their tables and figures with the published numbers beside ours. The ledger tests what they
claim, with effect, interval and n."""
LONGEST = 16  # rows of a leading study's table that is shown whole


def document(reports: Sequence[StudyReport], papers: Told | None, home: Path) -> str:
    """The report, as Markdown; links start from ``home``."""
    parts = ["# Report", WRITTEN, "## What was asked", ASKED]
    answers = answer_lines(reports, papers, home)
    if answers.body:
        parts += ["## The answer so far", _chart(reports, home), answers.markdown(), HOW]
    parts += ["## How sure it is", bullets(sure(reports))]
    for axis in _axes(reports):
        parts += _axis(axis, reports, home)
    if papers is not None:
        parts += ["## Published claims", PAPERS, papers.table(home).markdown()]
        parts.append(f"All claims: {papers.counts}. Each with its evidence: {link('ledger', papers.ledger, home)}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def answer_lines(reports: Sequence[StudyReport], papers: Told | None, home: Path) -> Table:
    """Every question with the answer of the study that rests on most, and a link to the evidence."""
    lines = [(one, link(report.study, report.folder / PAGE, home)) for report, one in _answers(reports)]
    if papers is not None:
        lines.append((Answer(QUESTION, papers.counts), link("ledger of claims", papers.ledger, home)))
    return answer_table(lines)


def plain(reports: Sequence[StudyReport], papers: Told | None) -> str:
    """The answers, for the terminal."""
    _, rows = answer_rows(reports, papers)
    return "\n".join(f"{question}\n    {answer} ({study})" for question, answer, study, _ in rows)


def answer_rows(reports: Sequence[StudyReport], papers: Told | None) -> tuple[list[str], list[list[str]]]:
    """The answers as a table of plain text: header and rows."""
    rows = [[one.question, _bare(one.answer), report.study, one.basis] for report, one in _answers(reports)]
    rows += [[QUESTION, papers.counts, "papers", ""]] if papers is not None else []
    return ["question", "answer", "study", "basis"], rows


def sections(text: str, reports: Sequence[StudyReport], papers: Told | None, out: Path) -> list[Section]:
    """The report, every study's page and those of the papers, as parts of one HTML page."""
    found = [Section("Overview", "Overview", text, out.resolve().parent, out.name)]
    for axis in _axes(reports):
        found += [report.section() for report in reports if next(iter(report.pages), "") == axis]
    for path in [papers.ledger, *papers.pages.values()] if papers is not None else []:
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(":")[0]
        found.append(Section(title, "Papers", path.read_text(encoding="utf-8"), path.parent, path.name))
    return found


def sure(reports: Sequence[StudyReport]) -> list[str]:
    """What the answers rest on, and what they do not say."""
    records = sum(report.records for report in reports)
    corpora, evaluators = _all(reports, "corpora"), _all(reports, "evaluators")
    several = [report for report in reports if len(report.facts["seeds"]) > 1]
    single = [report for report in reports if len(report.facts["seeds"]) == 1]
    lines = [f"Evidence: {count(records, 'record')} of {count(len(reports), 'study', 'studies')}."]
    if leader := _leader("fidelity", reports):
        lines[0] += f" The study that answers on fidelity is {leader[0].study}: {leader[1].about}"
    lines.append(
        "Scale: the answers hold for models of the size and training named beside them. Larger models or longer "
        "training may rank the paradigms differently."
    )
    if corpora:
        lines.append(f"Audio: the corpora {', '.join(corpora)}. Every study's page names its own.")
    if "builtin" in evaluators:
        lines.append(
            "Evaluator: scores that end in `_builtin` come from the small evaluators that this suite trains itself. "
            "They rank systems on the same audio and cannot be compared with published FAD, KL or CLAP."
        )
    if several or single:
        lines.append(
            f"Seeds: several in {count(len(several), 'study', 'studies')}, where intervals cover training too; "
            f"one in {count(len(single), 'study', 'studies')}, where intervals cover the prompts alone."
        )
    lines.append(
        "Statistics: 95% bootstrap intervals, clustered on prompts and seeds. Arms are compared on the same prompts "
        "and seeds, with Holm's correction. A metric that does not tell noise from real audio gives no verdict."
    )
    return lines


def _axis(axis: str, reports: Sequence[StudyReport], home: Path) -> list[str]:
    """One axis: what it asks, the leading study's table where it is short, a line per study."""
    parts = [f"## {chapter(axis).title}", _from(home, chapter(axis).asks)]
    leader = _leader(axis, reports)
    if leader is not None and len(leader[1].table.body) <= LONGEST:
        report, page = leader
        parts += [f"Scores of {link(report.study, report.folder / PAGE, home)}: {page.about}", page.table.markdown()]
    told = [(report, report.pages[axis]) for report in reports if axis in report.pages]
    columns = list(dict.fromkeys(column for _, page in told for column in page.row))
    body = [
        [link(report.study, report.folder / PAGE, home), report.title, *(page.row.get(name, "") for name in columns)]
        for report, page in told
    ]
    return [*parts, Table(["study", "what it asks", *columns], body).markdown()]


def _axes(reports: Sequence[StudyReport]) -> list[str]:
    return [axis for axis in CHAPTERS.names() if any(axis in report.pages for report in reports)]


def _leader(axis: str, reports: Sequence[StudyReport]) -> tuple[StudyReport, StudyPage] | None:
    """The study of an axis that rests on most, and has answers where any study has."""
    held = [(report, report.pages[axis]) for report in reports if axis in report.pages]
    return max(held, key=lambda one: (bool(one[1].answers), one[1].weight), default=None)


def _answers(reports: Sequence[StudyReport]) -> list[tuple[StudyReport, Answer]]:
    """Question by question, the answer of the study that rests on most."""
    found: dict[str, tuple[StudyReport, Answer, tuple[float, ...]]] = {}
    for axis in _axes(reports):
        for report in reports:
            page = report.pages.get(axis)
            for one in page.answers if page is not None else ():
                held = found.get(one.question)
                if page is not None and (held is None or page.weight > held[2]):
                    found[one.question] = report, one, page.weight
    return [(report, one) for report, one, _ in found.values()]


def _chart(reports: Sequence[StudyReport], home: Path) -> str:
    """The leading study's figure."""
    leader = next((one for axis in _axes(reports) if (one := _leader(axis, reports)) and one[1].chart), None)
    if leader is None:
        return ""
    report, page = leader
    return image(page.chart, home, f"{page.caption} Study {report.study}.")


def _all(reports: Sequence[StudyReport], fact: str) -> list[str]:
    return sorted(frozenset[str]().union(*(report.facts[fact] for report in reports)))


def _from(home: Path, text: str) -> str:
    """Markdown whose links start from the repository, for a file in ``home``; without links elsewhere."""
    if home == PUBLISHED.parent:
        return text
    return re.sub(r"\[([^\]]+)\]\((docs/[^)]+)\)", r"`\2`", text)


def _bare(text: str) -> str:
    return text.replace("**", "")
