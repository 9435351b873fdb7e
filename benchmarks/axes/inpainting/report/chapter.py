"""The chapter on inpainting: scores of filled spans, which arms fill better, and the spans to see and to hear."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ....analysis.comparability import too_short
from ....analysis.pooling import PairedDifference, differences
from ....analysis.records import Record
from ....analysis.result_table import ResultTable, make_table
from ....metrics.catalogue import family
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.clips import clips, listening
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, image, records_link
from ....report.method import facts, left_out, measured, ran, sentence
from ....report.scores import score_table, stated_scores
from ....report.summary import standing, trained, unbeaten
from .spans import spans

SHOWN = ("fad", "kad", "clap", "seam", "context_similarity")
QUESTION = "Do filled spans sound like real ones? (FAD of the spans, lower is better)"
SPANS = "Filled spans, between the marks. Outside them a system returns the original, arms through the codec."


def describe(study: StudyRecords) -> StudyPage:
    """Scores, verdicts, clips and figures of one study."""
    table = make_table(study.name, study.folder, study.records, order=in_order)
    short = too_short(table.runs)
    compared = [] if short else differences(table)
    scores = score_table(table, SHOWN)
    details = [*figure_of_spans(table, scores), *listening(table), published(), "## How it was run", ran(table)]
    details += [*left_out(table.left_out), f"The {records_link(table.folder)} hold everything above."]
    return StudyPage(
        measured(table), scores, answers(table, compared), details, row(table, compared, short),
        (len(table.labels), table.seeds), notes=[sentence(short)] if short else [],
    )  # fmt: skip


CHAPTER = Chapter(
    "Inpainting",
    "Does a filled span of a clip sound like the real one? How it is measured: [inpainting](docs/control.md).",
    describe,
)


def in_order(record: Record) -> tuple[bool, str]:
    """Sort key of rows: references as they came, then arms by name."""
    return record.kind == "paradigm", record.system if record.kind == "paradigm" else ""


def answers(table: ResultTable, compared: Sequence[PairedDifference]) -> list[Answer]:
    """Which arms are not beaten on the FAD of filled spans, where they were compared on it."""
    return [Answer(QUESTION, standing(table, compared, name), trained(table)) for name in _fad_of_spans(compared)]


def row(table: ResultTable, compared: Sequence[PairedDifference], short: str) -> dict[str, str]:
    """The study's line among all studies of its axis."""
    head = facts(table)
    if short:
        return {**head, "result": "too short to compare"}
    names = _fad_of_spans(compared)
    return {**head, **({"not beaten on FAD of spans": unbeaten(table, compared, names[0])} if names else {})}


def figure_of_spans(table: ResultTable, scores: Table) -> list[str]:
    """The figure of filled spans with its caption; nothing where no clips are kept."""
    records = [record for row in table.rows for record in row.good]
    files = [path for row in table.rows for path in clips(table.folder, row).values()]
    mark = fingerprint(spans, table.folder, records, [table.study, scores.markdown()], files)
    path = drawn(table.folder / "figures" / "spans.png", mark, partial(spans, table))
    return [image(path, table.folder, SPANS)] if path else []


def published() -> str:
    """What Tal et al. 2025 state of inpainting."""
    return stated_scores("tal2025", "Table 4", ("control", "conditioning"), {})


def _fad_of_spans(compared: Sequence[PairedDifference]) -> list[str]:
    names = dict.fromkeys(d.metric for d in compared)
    return [name for name in names if family(name) == "fad" and name.endswith("_span")]
