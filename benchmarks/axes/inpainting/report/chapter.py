"""The chapter on inpainting: scores of filled spans, which arms fill better, and the spans to see and to hear."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .....corpora.audio import read_audio
from ....analysis.comparability import too_short
from ....analysis.pooling import PairedDifference, differences
from ....analysis.records import Record, artefact
from ....analysis.result_table import ResultTable, make_table
from ....metrics.catalogue import family
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.clips import clips, listening, log_spectrogram
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, image, records_link
from ....report.method import facts, measured, ran, sentence
from ....report.scores import score_table, stated_scores
from ....report.style import canvas
from ....report.summary import standing, trained, unbeaten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("fad", "kad", "clap", "seam", "context_similarity")
QUESTION = "Do filled spans sound like real ones? (FAD of the spans, lower is better)"
REFERENCES = ("real", "splice")  # the ceiling and the floor, in the figure
PROMPTS = 3  # in the figure
MARK = "#00e5ff"
SPANS = "Filled spans, between the marks. Outside them a system returns the original, arms through the codec."


def describe(study: StudyRecords) -> StudyPage:
    """Scores, verdicts, clips and figures of one study."""
    table = make_table(study.name, study.folder, study.records, order=in_order)
    short = too_short(table.runs)
    compared = [] if short else differences(table)
    scores = score_table(table, SHOWN)
    details = [*figure_of_spans(table, scores), *listening(table), published(), "## How it was run", ran(table)]
    details.append(f"The {records_link(table.folder)} hold everything above.")
    return StudyPage(
        measured(table), scores, answers(table, compared), details, row(table, compared, short),
        (len(table.labels), table.seeds), notes=[sentence(short)] if short else [],
        left_out=table.left_out,
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


def _fad_of_spans(compared: Sequence[PairedDifference]) -> list[str]:
    names = dict.fromkeys(d.metric for d in compared)
    return [name for name in names if family(name) == "fad" and name.endswith("_span")]


def _draw(axis: Any, level_FT: Any, seconds: float, span: tuple[float, float]) -> None:
    axis.imshow(level_FT, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, 1))
    for edge in span:
        axis.axvline(edge, color=MARK, linewidth=1, linestyle=(0, (4, 2)))
    bracket = {"color": MARK, "linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
    axis.plot(span, (1.04, 1.04), transform=axis.get_xaxis_transform(), **bracket)
    axis.set_xlim(0, seconds)
