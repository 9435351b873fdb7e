"""The chapter on inpainting: scores of filled spans, which arms fill better, and the spans to see and to hear.

Verdicts rest on the spans: their distances by each judge, their seams, and whether they go with what is around them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .....corpora.audio import read_audio
from ....analysis.comparability import too_short
from ....analysis.pooling import PairedDifference, differences, metric_names, not_usable
from ....analysis.records import Record, artefact
from ....analysis.result_table import ResultTable, make_table
from ....metrics.catalogue import TAGGERS, evaluator_of, family, of_whole_clips
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.clips import clips, listening, log_spectrogram
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, folded, image, records_link
from ....report.method import facts, measured, ran, sentence
from ....report.scores import heading, reference_rows, scores_of, size_note, stated_scores
from ....report.style import canvas
from ....report.summary import standing, trained, unbeaten
from ....report.words import arm_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPANS_OF = ("kad", "band_level", "clap")  # families whose scores of spans are columns
QUESTIONS = {
    "kad": "Do filled spans sound like real ones? (`{name}`: kernel distance of the spans, lower is better)",
    "seam": "Are filled spans and their seams as unusual as real ones, no more and no less? (`seam`, 0 is real)",
    "context_similarity": "Do filled spans go with what is around them? (`{name}`, higher is better)",
}
NO_VERDICT = " (no verdict)"
EARLIER = (
    "These records hold the earlier seam score, a percentile that a span frozen in time could win, and distances of "
    "spans without context. Run the study again."
)
WHOLE = "Scores of whole clips (no verdict)"
TOLD_WHOLE = "Most of every clip is as all systems were given it, so these say little about the filled span."
READ = """\
- `..._span`: computed from crops: the span with {context:g} s of its own clip on either side, against the same crops of
  other real clips.
- `seam`: how far spans and their boundaries are from untouched real ones, by level, spectrum, clicks and activity. 0 is
  real audio; 1: every span is more unusual than all real ones. What is too smooth or too static counts as much as what
  is too abrupt, so no system is better than real audio.
- `context_similarity`: cosine between an evaluator's embeddings of the span and of the rest of the clip, after the
  mean over all clips of the system is subtracted.
- `splice`: a piece of another prompt's audio; `silence`; `frozen`: the last 50 ms before the span, repeated."""
VERSION = 2  # of the axis' protocol, from which on this page can decide
REFERENCES = ("real", "splice")  # the ceiling and the floor, in the figure
PROMPTS = 3  # in the figure
MARK = "#00e5ff"
SPANS = "Filled spans, between the marks. Outside them a system returns the original, arms through the codec."


def describe(study: StudyRecords) -> StudyPage:
    """Scores, verdicts, clips and figures of one study."""
    table = make_table(study.name, study.folder, study.records, order=in_order)
    short, names = too_short(table.runs), deciding(table)
    compared = [] if short or not names else [d for d in differences(table) if d.metric in names]
    scores = sheet(table, columns(table))
    details = [*figure_of_spans(table, scores), *listening(table), *whole_clips(table), published()]
    details += ["## How it was run", ran(table), f"The {records_link(table.folder)} hold everything above."]
    details.append(folded("How to read the table", READ.format(context=context_seconds(table))))
    return StudyPage(
        measured(table), scores, answers(table, compared), details, row(table, compared, short),
        (len(table.labels), table.seeds), notes=notes(table, short), left_out=table.left_out,
    )  # fmt: skip


CHAPTER = Chapter(
    "Inpainting",
    "Does a filled span of a clip sound like the real one? How it is measured: [inpainting](docs/control.md).",
    describe,
)


def in_order(record: Record) -> tuple[bool, str]:
    """Sort key of rows: references as they came, then arms by name."""
    return record.kind == "paradigm", record.system if record.kind == "paradigm" else ""


def deciding(table: ResultTable) -> list[str]:
    """The metrics that give verdicts on filled spans, if they may: kernel distances of spans, seam, and similarity to
    the surroundings; the attribute tagger does not decide.
    """
    if table.rows and table.newest.config.version < VERSION:
        return []
    names = [name for name in metric_names(table) if evaluator_of(name) not in TAGGERS]
    return [n for wanted in QUESTIONS for n in names if family(n) == wanted and (wanted != "kad" or _of_span(n))]


def columns(table: ResultTable) -> list[str]:
    """The metrics of the table of scores: those that decide, and what else is measured of the spans."""
    beside = [n for wanted in SPANS_OF for n in metric_names(table) if family(n) == wanted and _of_span(n)]
    seams = [name for name in metric_names(table) if family(name) in ("seam", "context_similarity")]
    return list(dict.fromkeys([*deciding(table), *beside, *seams]))


def sheet(table: ResultTable, names: Sequence[str]) -> Table:
    """Systems x metrics with intervals; a metric that gives no verdict says so in its heading."""
    may = deciding(table)
    headings = [heading(table, n) + NO_VERDICT * (n not in may or bool(not_usable(table, n))) for n in names]
    body = [[row.system, *scores_of(table, row, names)] for row in table.rows]
    return Table(["system", *headings], body, italic=reference_rows(table))


def answers(table: ResultTable, compared: Sequence[PairedDifference]) -> list[Answer]:
    """Which arms no arm is better than, for each metric by which they were compared."""
    names = dict.fromkeys(d.metric for d in compared)
    asked = {name: QUESTIONS[family(name)].format(name=name) for name in deciding(table) if name in names}
    return [Answer(question, standing(table, compared, name), trained(table)) for name, question in asked.items()]


def row(table: ResultTable, compared: Sequence[PairedDifference], short: str) -> dict[str, str]:
    """The study's line among all studies of its axis."""
    head = facts(table)
    if short:
        return {**head, "result": "too short to compare"}
    told = {f"{name}: no arm is better than": unbeaten(table, compared, name) for name in deciding(table)}
    decided = {d.metric for d in compared}
    return {**head, **{text: arms for (text, arms), name in zip(told.items(), deciding(table)) if name in decided}}


def notes(table: ResultTable, short: str) -> list[str]:
    """Why there is no verdict at all, or none by some metric, and how far the answers reach."""
    if short:
        return [sentence(short)]
    if table.rows and table.newest.config.version < VERSION:
        return [EARLIER]
    doubts = {name: why for name in deciding(table) if (why := not_usable(table, name))}
    told = [f"`{name}` gives no verdict: {why}." for name, why in doubts.items()]
    return [*told, *arm_names(table).note, *size_note(table)]


def whole_clips(table: ResultTable) -> list[str]:
    """The folded table of scores of whole clips."""
    names = [name for name in metric_names(table) if f"{name}_span" in metric_names(table)]
    return [folded(WHOLE, f"{TOLD_WHOLE}\n\n{sheet(table, names).markdown()}")] if names else []


def context_seconds(table: ResultTable) -> float:
    """Known seconds on either side of the span in the crops that are scored."""
    told = (record.environment.get("scoring", {}).get("span", {}) for row in table.rows for record in row.good)
    return next((one["context_seconds"] for one in told if "context_seconds" in one), 0.0)


def figure_of_spans(table: ResultTable, scores: Table) -> list[str]:
    """The figure of filled spans with its caption; nothing where no clips are kept."""
    records = [record for row in table.rows for record in row.good]
    files = [path for row in table.rows for path in clips(table.folder, row).values()]
    mark = fingerprint(spans, table.folder, records, [table.study, scores.markdown()], files)
    path = drawn(table.folder / "figures" / "spans.png", mark, partial(spans, table))
    return [image(path, table.folder, SPANS)] if path else []


def spans(table: ResultTable) -> Figure | None:
    """One row per prompt, one column per system; the span lies between the marks."""
    rows = [table.row(name) for name in REFERENCES] + [row for row in table.arms if row.good]
    shown = {row.system: files for row in rows if row is not None and (files := clips(table.folder, row))}
    where: dict[str, tuple[float, float]] = {}
    for row in rows:
        for record in row.good if row is not None else []:
            where |= json.loads(artefact(table.folder, record, "spans") or "{}")
    prompts = [prompt for prompt in where if any(prompt in files for files in shown.values())][:PROMPTS]
    if not prompts:
        return None
    figure, axes = canvas(len(prompts), len(shown), 1.9 * len(shown) + 0.3, 1.5 * len(prompts) + 0.3)
    for i, prompt in enumerate(prompts):
        for axis, (system, files) in zip(axes[i], shown.items()):
            path = files.get(prompt)
            if path is not None:
                audio_N, rate = read_audio(path)
                _draw(axis, log_spectrogram(path), len(audio_N) / rate, where[prompt])
            axis.set_yticks([])
            axis.tick_params(axis="x", labelsize=7, length=2)
            if i == 0:
                axis.set_title(system, fontsize=9, pad=9)
        axes[i][0].set_ylabel(f"prompt {i + 1}", fontsize=8)
    return figure


def published() -> str:
    """What Tal et al. 2025 state of inpainting."""
    return stated_scores("tal2025", "Table 4", ("control", "conditioning"), {})


def _of_span(name: str) -> bool:
    return of_whole_clips(name) != name


def _draw(axis: Any, level_FT: Any, seconds: float, span: tuple[float, float]) -> None:
    axis.imshow(level_FT, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, 1))
    for edge in span:
        axis.axvline(edge, color=MARK, linewidth=1, linestyle=(0, (4, 2)))
    bracket = {"color": MARK, "linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
    axis.plot(span, (1.04, 1.04), transform=axis.get_xaxis_transform(), **bracket)
    axis.set_xlim(0, seconds)
