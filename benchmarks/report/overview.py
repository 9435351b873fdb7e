"""REPORT.md: what was asked, the answers so far, how sure they are, a table per axis, and links to everything else.

``answer_lines`` also makes the table of answers inside the repository's README.md, which ``refresh`` puts there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.lines import count
from ..analysis.locations import PUBLISHED
from ..metrics.catalogue import TAGGERS
from .chapter import Answer, StudyPage, in_order
from .markup import Table, bullets, image, link, write_changed
from .page import Section
from .study_page import PAGE, StudyReport, chapter
from .summary import HOW, answer_table

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
QUESTION = "Which claims of the four papers are seen at this scale?"
PAPERS = """\
Pages of four papers hold their tables and figures with the published numbers beside ours. The page of claims tests what
they claim, with effect, interval and n, or says what a test still lacks."""
BY = """\
Kernel distances (`kad`) are lower for clips that sound more like real audio. Brackets hold 95% intervals of \
differences, paired by prompt and seed; a verdict holds after Holm's correction over all comparisons of the study."""
TAGGER = TAGGERS[0]
LONGEST = 16  # a leading study's table is shown here if it has at most this many rows


@dataclass(frozen=True)
class PaperPages:
    """The written pages of papers, as far as the report shows them; ``benchmarks.papers`` makes them.

    Attributes:
        counts: how many claims have which verdict, in words.
        tallies: name of a group of claims -> verdict -> how many claims.
        pages: name of a paper -> its page.
        titles: name of a paper -> what it is about.
        claims_page: the page of claims.
    """

    counts: str
    tallies: Mapping[str, Mapping[str, int]]
    pages: Mapping[str, Path]
    titles: Mapping[str, str]
    claims_page: Path

    def table(self, home: Path) -> Table:
        """A line per paper: how many claims have which verdict, with a link to its page."""
        verdicts = list(dict.fromkeys(verdict for tally in self.tallies.values() for verdict in tally))
        body = []
        for name, tally in self.tallies.items():
            page = link(name, self.pages[name], home) if name in self.pages else name
            body.append([page, self.titles.get(name, ""), *(str(tally[verdict]) for verdict in verdicts)])
        return Table(["paper", "about", *verdicts], body)


def document(reports: Sequence[StudyReport], papers: PaperPages | None, home: Path) -> str:
    """The report, as Markdown; links start from ``home``."""
    parts = ["# Report", WRITTEN, *_in_short(reports, home), "## What was asked", ASKED]
    answers = answer_lines(reports, papers, home)
    if answers.body:
        parts += ["## The answer so far", _chart(reports, home), answers.markdown(), HOW]
    parts += ["## How sure it is", bullets(certainty(reports))]
    for axis in _axes(reports):
        parts += _axis(axis, reports, home)
    if papers is not None:
        parts += ["## Published claims", PAPERS, papers.table(home).markdown()]
        parts.append(
            f"All claims: {papers.counts}. Each with its evidence: {link('claims', papers.claims_page, home)}."
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_short(reports: Sequence[StudyReport], home: Path) -> list[str]:
    """What the study of fidelity with the most evidence shows; nothing where no study compares arms."""
    leader = _leader("fidelity", reports)
    if leader is None or not leader[1].brief:
        return []
    report, page = leader
    told = f"What {link(report.study, report.folder / PAGE, home)} shows, computed from its records. {BY}"
    return ["## The main comparison in short", told, bullets(page.brief)]


def answer_lines(reports: Sequence[StudyReport], papers: PaperPages | None, home: Path) -> Table:
    """Every question with one answer: that of the study with the most evidence, and a link to it."""
    lines = [(one, link(report.study, report.folder / PAGE, home)) for report, one in _answers(reports)]
    if papers is not None:
        lines.append((Answer(QUESTION, papers.counts), link("claims", papers.claims_page, home)))
    return answer_table(lines)


def plain(reports: Sequence[StudyReport], papers: PaperPages | None) -> str:
    """The answers, for the terminal."""
    _, rows = answer_rows(reports, papers)
    return "\n".join(f"{question}\n    {answer} ({study})" for question, answer, study, _ in rows)


def answer_rows(reports: Sequence[StudyReport], papers: PaperPages | None) -> tuple[list[str], list[list[str]]]:
    """The answers as a table of plain text: header and rows."""
    rows = [[one.question, one.answer.replace("**", ""), report.study, one.basis] for report, one in _answers(reports)]
    rows += [[QUESTION, papers.counts, "papers", ""]] if papers is not None else []
    return ["question", "answer", "study", "basis"], rows


def refresh(readme: Path, marker: str, text: str) -> bool:
    """Replace the text between ``<!-- marker -->`` and ``<!-- /marker -->``; False if the file has no such markers."""
    if not readme.is_file():
        return False
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, found_start, rest = readme.read_text(encoding="utf-8").partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        return False
    write_changed(readme, f"{before}{start}\n{text}\n{end}{after}")
    return True


def sections(text: str, reports: Sequence[StudyReport], papers: PaperPages | None, out: Path) -> list[Section]:
    """The report, every study's page and those of the papers, as parts of one HTML page."""
    found = [Section("Overview", "Overview", text, out.resolve().parent, out.name)]
    for axis in _axes(reports):
        found += [report.section() for report in reports if next(iter(report.pages), "") == axis]
    for path in [papers.claims_page, *papers.pages.values()] if papers is not None else []:
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(":")[0]
        found.append(Section(title, "Papers", path.read_text(encoding="utf-8"), path.parent, path.name))
    return found


def certainty(reports: Sequence[StudyReport]) -> list[str]:
    """Sentences on what the answers are based on and how far they reach."""
    records = sum(report.records for report in reports)
    corpora = _all(reports, "corpora")
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
    lines += _on_judges(reports)
    if TAGGER in _all(reports, "evaluators"):
        lines.append(
            f"Attribute tagger: scores that end in `_{TAGGER}` come from a small network that this suite trains itself "
            "to name what captions ask for. They say how clips follow captions, not how real clips sound, and cannot "
            "be compared with published figures."
        )
    if several or single:
        lines.append(
            f"Seeds: several in {count(len(several), 'study', 'studies')}, where intervals cover training too; "
            f"one in {count(len(single), 'study', 'studies')}, where intervals cover the prompts alone, so that "
            "sentences speak of one run of an arm."
        )
    lines.append(
        "Statistics: 95% intervals from the variance between prompts and between seeds. Arms are compared on the same "
        "prompts and seeds, with Holm's correction and margins that were fixed beforehand. A metric that does not tell "
        "noise from real audio, or does not order known degradations of it, gives no verdict."
    )
    return lines


def _on_judges(reports: Sequence[StudyReport]) -> list[str]:
    """Which judges there are, and how many studies of fidelity have none."""
    scored = [report for report in reports if "fidelity" in report.pages]
    without = [report for report in scored if not report.facts["judges"]]
    judges = _all(reports, "judges")
    lines = []
    if judges:
        lines.append(
            f"Judges: fidelity is scored by {', '.join(judges)}, which are independent of this suite, and an answer "
            "rests on the verdicts that all of them share."
        )
    if without:
        lines.append(
            f"No judge: {count(len(without), 'study', 'studies')} of fidelity {'was' if len(without) == 1 else 'were'} "
            "measured before independent judges existed and can only tell how clips follow their captions."
        )
    return lines


def _axis(axis: str, reports: Sequence[StudyReport], home: Path) -> list[str]:
    """One axis: what it asks, the leading study's table if it is short, and a row per study."""
    parts = [f"## {chapter(axis).title}", _docs_links(home, chapter(axis).asks)]
    leader = _leader(axis, reports)
    if leader is not None and len(leader[1].table.body) <= LONGEST:
        report, page = leader
        parts += [f"Scores of {link(report.study, report.folder / PAGE, home)}: {page.about}", page.table.markdown()]
    pages = _pages(axis, reports)
    columns = list(dict.fromkeys(column for _, page in pages for column in page.row))
    body = [
        [link(report.study, report.folder / PAGE, home), report.title, *(page.row.get(name, "") for name in columns)]
        for report, page in pages
    ]
    return [*parts, Table(["study", "what it asks", *columns], body).markdown()]


def _axes(reports: Sequence[StudyReport]) -> list[str]:
    return in_order({axis for report in reports for axis in report.pages})


def _pages(axis: str, reports: Sequence[StudyReport]) -> list[tuple[StudyReport, StudyPage]]:
    return [(report, report.pages[axis]) for report in reports if axis in report.pages]


def _leader(axis: str, reports: Sequence[StudyReport]) -> tuple[StudyReport, StudyPage] | None:
    """The study of an axis with the most evidence, among those with answers if there are any."""
    return max(_pages(axis, reports), key=lambda one: (bool(one[1].answers), one[1].weight), default=None)


def _answers(reports: Sequence[StudyReport]) -> list[tuple[StudyReport, Answer]]:
    """For each question the answer of the study with the most evidence."""
    best: dict[str, tuple[StudyReport, Answer, tuple[float, ...]]] = {}
    for axis in _axes(reports):
        for report, page in _pages(axis, reports):
            for answer in page.answers:
                if answer.question not in best or page.weight > best[answer.question][2]:
                    best[answer.question] = report, answer, page.weight
    return [(report, answer) for report, answer, _ in best.values()]


def _chart(reports: Sequence[StudyReport], home: Path) -> str:
    leader = next((one for axis in _axes(reports) if (one := _leader(axis, reports)) and one[1].chart), None)
    if leader is None:
        return ""
    report, page = leader
    return image(page.chart, home, f"{page.caption} Study {report.study}.")


def _all(reports: Sequence[StudyReport], fact: str) -> list[str]:
    return sorted(frozenset[str]().union(*(report.facts[fact] for report in reports)))


def _docs_links(home: Path, text: str) -> str:
    """Markdown with links to ``docs/``, which only a report at the repository's root can have; else the paths alone."""
    if home == PUBLISHED.parent:
        return text
    return re.sub(r"\[([^\]]+)\]\((docs/[^)]+)\)", r"`\2`", text)
