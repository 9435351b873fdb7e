"""The axis reconstruction in the reports: what is left of a clip after each representation, and a paper's numbers."""

from __future__ import annotations

from collections.abc import Sequence

from .....common.lines import count
from ....analysis import published
from ....analysis.metric_validity import is_tagger_distance
from ....analysis.pooling import compare_rows, pooled
from ....analysis.records import Record
from ....analysis.result_table import ResultTable, TableRow, make_table
from ....metrics.catalogue import about, evaluator_of, family, is_fidelity
from ....report.chapter import Chapter, StudyPage, StudyRecords
from ....report.markup import Table, bullets, folded, records_link
from ....report.method import scored_by
from ....report.scores import ARROWS, scores_of
from ..config import VIEWS, ReconstructionConfig, RepresentationView

SIGNAL = {"si_snr": "SI-SNR, dB", "visqol": "ViSQOL", "log_msd": "log-MSD", "log_mel_distance": "log-mel distance"}
DISTANCES = ("kad", "fad")  # by every judge
CONTENT = ("chord_iou", "drum_correlation", "beat_f1", "downbeat_f1", "melody_chroma", "pitch_accuracy")
CEILING, FLOORS = "real", ("noise", "silence")
COMPARED = ("si_snr", "visqol", "log_msd", "chord_iou", "beat_f1", "pitch_accuracy")
PAIRED = "Differences, paired by clip, with 95% intervals; **bold** where the interval leaves out zero:"
ABOUT_DISTANCES = (
    "Distance of the decoded clips from other real clips. The row `real` shows what the originals themselves have; a "
    "model over a representation cannot come closer than its row."
)
NO_JUDGE = (
    "No independent judge scored these clips: they were measured before independent judges existed. Run the study "
    "again to have them judged."
)
TAGGER = "Distances by the attribute tagger (not a measure of fidelity)"
PAPER, SOURCE = "tal2025", "Appendix B table"
NAMES_HERE = {"si_snr_db": "si_snr"}  # the paper's name of a metric -> ours


def describe(study: StudyRecords) -> StudyPage:
    """The page of one study: two tables, the significant differences, and the published table."""
    table = make_table(study.name, study.folder, study.records, free=("representation",), order=_order)
    found = differences(table)
    details = ["## How real it sounds", *judged(table)]
    details += ["## What is left of the music", content(table).markdown()]
    details += ["## What differs", PAIRED, bullets(found)] if found else []
    details += [published_table(), "## How it was run", basis(table)]
    corpus = table.newest.config.data.corpus.name
    views = [row.system for row in table.rows if _view(row) is not None]
    return StudyPage(
        f"{len(views)} representations of the corpus `{corpus}`.", signal(table),
        details=[*details, f"The {records_link(study.folder)} hold everything above."],
        row={"audio": corpus, "representations": str(len(views))}, weight=(len(views),), left_out=table.left_out,
    )  # fmt: skip


CHAPTER = Chapter(
    "Reconstruction",
    "How much of a clip is left after encoding and decoding? How it is measured: "
    "[reconstruction](docs/reconstruction.md).",
    describe,
)


def signal(table: ResultTable) -> Table:
    """What a representation costs, and how close a decoded clip is to the original."""
    header = ["system", "frames/s", "per frame", "bits/s"]
    header += [label + ARROWS[about(name).better] for name, label in SIGNAL.items()] + ["real-time factor ↓"]
    body = []
    for row in table.rows:
        speed = row.records[0].timing.get("real_time_factor")
        cells = [*_facts(_view(row)), *scores_of(table, row, list(SIGNAL))]
        body.append([row.system, *cells, "–" if speed is None else f"{speed:.3f}"])
    return Table(header, body, italic=_references(table), notes=_missing_visqol(table))


def judged(table: ResultTable) -> list[str]:
    """Distances between the decoded clips and other real clips, by the judges and, folded, by the attribute tagger."""
    distances = _measured(table, DISTANCES)
    by_judge = {name: evaluator_of(name) for name in distances if is_fidelity(name)}
    evaluators = list(by_judge.values())
    names = sorted(by_judge, key=lambda name: evaluators.index(by_judge[name]))  # those of a judge stand together
    parts = [_distances(table, names, ABOUT_DISTANCES).markdown()] if names else [NO_JUDGE]
    if by_tagger := [name for name in distances if is_tagger_distance(name)]:
        parts.append(folded(TAGGER, _distances(table, by_tagger).markdown()))
    return parts


def _distances(table: ResultTable, names: Sequence[str], *notes: str) -> Table:
    header = ["system", *(name + ARROWS[about(name).better] for name in names)]
    body = [[row.system, *scores_of(table, row, names)] for row in table.rows]
    return Table(header, body, italic=_references(table), notes=notes)


def _measured(table: ResultTable, families: Sequence[str]) -> list[str]:
    """The names of the metrics of some families that any row has."""
    measured = {name for row in table.rows for record in row.good for name in record.metrics}
    return [name for wanted in families for name in sorted(measured) if family(name) == wanted]


def content(table: ResultTable) -> Table:
    """What is left of the music, also as a share of that in the originals."""
    names = _measured(table, CONTENT)
    ceiling = table.row(CEILING)
    body = []
    for row in table.rows:
        cells = scores_of(table, row, names)
        for i, name in enumerate(names):
            full, own = (pooled(table, r, name).value if r is not None else None for r in (ceiling, row))
            if about(name).better == "higher" and full and own is not None and row is not ceiling:
                cells[i] += f", {own / full:.0%}"
        body.append([row.system, *cells])
    note = "Per cent: of what the extractors find in the clips themselves (the row `real`)."
    header = ["system", *(name + ARROWS[about(name).better] for name in names)]
    return Table(header, body, italic=_references(table), notes=(note,))


def differences(table: ResultTable) -> list[str]:
    """A line per view: codes against the latents of the same codec, other representations against the first."""
    views = {row.system: view for row in table.rows if row.good and (view := _view(row)) is not None}
    lines = []
    for row in (row for row in table.rows if row.system in views):
        other = table.row(_compared_with(views, views[row.system]))
        if other is None or other is row:
            continue
        texts = [text for name in COMPARED if (text := _difference(table, row, other, name))]
        if texts:
            lines.append(f"{row.system} against {other.system}: {'; '.join(texts)}.")
    return lines


def basis(table: ResultTable) -> str:
    """Corpus, clips, evaluators, extractors and command, in two sentences."""
    record = table.records[-1]
    config = record.read(ReconstructionConfig)
    scored = config.evaluation
    extractors = ", ".join(f"{kind} by {name}" for kind, name in scored.heard_by.items())
    return (
        f"Corpus `{config.data.corpus.name}`, {count(scored.prompts, scored.split + ' clip')} of "
        f"{scored.seconds:g} s, scored at {scored.sample_rate} Hz by {scored_by(scored)}, {extractors}. "
        f"Command: `{record.command}`."
    )


def published_table() -> str:
    """The paper's table, folded: its music, models and sample rate differ from ours, and one definition is unknown."""
    values: dict[tuple[str, str], dict[str, str]] = {}
    for one in published.results():
        if (one.paper, one.table) == (PAPER, SOURCE) and one.value:
            row = values.setdefault((one.system, one.setting["frame_rate_hz"]), {})
            row[NAMES_HERE.get(one.metric, one.metric)] = one.value
    names = [name for name in SIGNAL if any(name in row for row in values.values())]
    header = ["system", "source", "frames/s", *(SIGNAL[name] + ARROWS[about(name).better] for name in names)]
    source = f"{published.NAMES[PAPER]}, appendix B"
    body = [[system, source, rate, *(row.get(n, "–") for n in names)] for (system, rate), row in values.items()]
    italic = [[f"*{cell}*" for cell in row] for row in body]
    why = (
        "In italics, since none of it compares with the figures above but for the order: other music, other models, "
        "another sample rate. The paper does not define its log-MSD (ours: `benchmarks/metrics/reconstruction.py`) and "
        "measures EnCodec without its quantiser."
    )
    return folded("Published figures", f"{why}\n\n{Table(header, italic).markdown()}") if body else ""


def _order(record: Record) -> tuple[bool, bool, str]:
    """Sort key of rows: the ceiling, the views of representations by name, the floors."""
    return record.system in FLOORS, record.system != CEILING, record.system


def _view(row: TableRow) -> RepresentationView | None:
    return row.records[0].read(ReconstructionConfig).representation


def _compared_with(views: dict[str, RepresentationView], view: RepresentationView) -> str:
    """The continuous view of the same weights for a quantised one, else the study's first; empty if there is none."""
    continuous = {system: other for system, other in views.items() if other.view == VIEWS[0]}
    if view.view == VIEWS[0]:
        return next(iter(continuous), "")
    return next((system for system, other in continuous.items() if other.fingerprint == view.fingerprint), "")


def _difference(table: ResultTable, row: TableRow, other: TableRow, name: str) -> str:
    """The difference of two rows in a metric as text; empty if it cannot be computed."""
    if not all(name in one.good[0].metrics for one in (row, other)):
        return ""
    compared = compare_rows(table, row, other, name)
    if compared is None:
        return ""
    gap = compared.difference
    text = f"{SIGNAL.get(name, name)} {gap.estimate:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
    return f"**{text}**" if gap.low > 0 or gap.high < 0 else text


def _facts(view: RepresentationView | None) -> list[str]:
    if view is None:
        return ["–", "–", "–"]
    if view.view == VIEWS[0]:
        return [f"{view.frame_rate_hz:g}", f"{count(view.channels, 'channel')}", "–"]
    codes = f"{count(view.codebooks, 'code')} of {view.cardinality}"
    return [f"{view.frame_rate_hz:g}", codes, f"{view.bits_per_second:g}"]


def _references(table: ResultTable) -> frozenset[int]:
    return frozenset(i for i, row in enumerate(table.rows) if _view(row) is None)


def _missing_visqol(table: ResultTable) -> tuple[str, ...]:
    states = {r.environment.get("scoring", {}).get("visqol", "") for row in table.rows for r in row.good}
    missing = sorted(text for text in states if "pip install" in text)
    return (f"ViSQOL: {missing[0]}, then run the study again.",) if missing else ()
