"""The axes control and inpainting: systems x metrics, what the controls change, published figures beside.

Rows of one table share data, evaluation and training: those of the study's newest record. Seeds of a row are pooled as
in fidelity. ``following`` tests whether arms follow their controls, ``lanes`` shows chords over chroma, ``entropy`` how
uncertain the first code is, ``spans`` filled spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .....common.config import config_hash
from ....analysis.records import Record, latest
from ....metrics.catalogue import CATALOGUE, family
from ....report.chapter import Chapter, StudyPage, StudyRecords

if TYPE_CHECKING:
    from ....analysis.result_table import Board
    from ....report.table import Table

SHOWN = {
    "control": ("chord_iou", "beat_f1", "downbeat_f1", "melody_chroma", "pitch_accuracy", "fad", "kad", "clap"),
    "inpainting": ("fad", "kad", "clap", "seam", "context_similarity"),
}
STATED = {"control": ("tal2025", "Table 3"), "inpainting": ("tal2025", "Table 4")}
CALLED_HERE = {"beat_f1": "downbeat_f1", "melody_similarity": "melody_chroma"}  # the paper's Beat F1 is of down-beats
CAPTIONS = {
    "lanes": "Chords of one prompt, below the chroma of the clip. Lanes: the request (the prompt's own chords), the "
    "chords given instead where controls are wrong, the chords heard in the prompt's own audio (reference) and in the "
    "output.",
    "entropy": "Entropy of the first codebook's code at each sampling step, after guidance and temperature; mean over "
    "prompts, for all, none and wrong controls with 95% intervals.",
    "spans": "Filled spans, between the marks. Outside them a system returns the original, arms through the codec.",
}


def _tell(axis: str, study: StudyRecords) -> StudyPage:
    """Scores, verdicts, clips and figures of one study."""
    from ....analysis.pooling import differences
    from ....analysis.sufficiency import too_short
    from ....report.markup import records_of
    from ...fidelity.report.text import listening, measured, ran
    from .answers import answers, row
    from .following import followed, verdicts

    board = make_board(study.name, study.folder, study.records)
    short = too_short(board.runs)
    found = followed(board) if axis == "control" and not short else {}
    compared = differences(board) if axis == "inpainting" and not short else []
    said = [f"{short[0].upper()}{short[1:]}."] if short else verdicts(board, found)
    sheet = table(board, axis)
    details = [*shown(board, axis, sheet), *listening(board, None, "")]
    details += [published(axis, study.folder.parent), "## How it was run", ran(board)]
    arms = {r.records[0].system for r in board.arms}
    return StudyPage(
        measured(board), sheet, [] if short else answers(board, compared, found),
        [*details, f"The {records_of(board.folder)} hold everything above."], row(board, compared, found, short),
        (len(arms), len({run.seed for run in board.runs})), notes=said,
    )  # fmt: skip


CONTROL = Chapter(
    "Control",
    "Does a clip follow chords, melody and drums that are given in time? How it is measured: "
    "[control](docs/control.md).",
    partial(_tell, "control"),
)
INPAINTING = Chapter(
    "Inpainting",
    "Does a filled span of a clip sound like the real one? How it is measured: [inpainting](docs/control.md).",
    partial(_tell, "inpainting"),
)


def shown(board: Board, axis: str, sheet: Table) -> list[str]:
    """Figures of what the records hold, with their captions, and what follows from the entropies."""
    from ....report.figure_cache import drawn, fingerprint
    from ....report.markup import image
    from ...fidelity.report.figures import clips
    from .chord_timeline import lanes
    from .entropy import entropy, findings
    from .spans import spans

    files = [path for row in board.rows for path in clips(board.folder, row).values()]
    records = [record for row in board.rows for record in row.good]
    parts = []
    for draw in (lanes, entropy) if axis == "control" else (spans,):
        name = draw.__name__
        read = [] if draw is entropy else files
        mark = fingerprint(draw, board.folder, records, [board.study, sheet.markdown()], read)
        path = drawn(board.folder / "figures" / f"{name}.png", mark, partial(draw, board))
        parts += [image(path, board.folder, CAPTIONS[name])] if path else []
        parts += [findings(board)] if path and draw is entropy else []
    return parts


def make_board(study: str, folder: Path, records: Sequence[Record]) -> Board:
    """Ceilings and floors, then every arm, a row for each scenario; of the newest record's setting alone."""
    from ....analysis.result_table import Board, Row

    held = list(latest(records).values())
    newest = max(held, key=lambda r: (r.kind == "paradigm", r.created))
    kept = [r for r in held if _exam(r) == _exam(newest) and (r.kind != "paradigm" or _train(r) == _train(newest))]
    rows: dict[str, list[Record]] = {}
    for record in sorted(kept, key=_place):
        scenario = record.cell.get("scenario")
        rows.setdefault(f"{record.system}, {scenario}" if scenario else record.system, []).append(record)
    made = [Row(name, found[0].kind, found, []) for name, found in rows.items()]
    return Board(study, folder, made, {"another setting": len(held) - len(kept)})


def table(board: Board, axis: str) -> Table:
    """Rows x metrics, with intervals; a metric's name keeps its evaluator."""
    from ....analysis.pooling import pooled
    from ....report.table import Table
    from ...fidelity.report.tables import ARROWS, figure

    held = {name: m.better for row in board.rows for record in row.good for name, m in record.metrics.items()}
    names = [name for wanted in SHOWN[axis] for name in sorted(held) if family(name) == wanted]
    body = []
    for row in board.rows:
        cells = [figure(pooled(board, row, name)) for name in names]
        failed = next((f"{r.status}: {r.reason}" for r in row.records if r.status != "ok"), "")
        body.append([row.system, *(cells if row.good else [failed, *[""] * (len(names) - 1)])])
    italic = frozenset(i for i, row in enumerate(board.rows) if row.kind == "reference")
    return Table(["system", *(name + ARROWS[held[name]] for name in names)], body, italic=italic)


def published(axis: str, results: Path) -> str:
    """What a paper states of this axis: other music, codec and size, so for the order only."""
    from ....analysis.published import NAMES
    from ....analysis.published import results as stated_results
    from ....report.markup import folded
    from ....report.table import Table

    found = [one for one in stated_results(results) if (one.paper, one.table) == STATED[axis] and one.value]
    stated: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        given = one.setting.get("control") or one.setting.get("conditioning", "")
        row = stated.setdefault((one.system, f", {given}" if given else ""), {})
        row[CALLED_HERE.get(one.metric, one.metric)] = one.value
    names = [name for name in CATALOGUE if any(name in values for values in stated.values())]
    body = [
        [system + given, f"{NAMES[found[0].paper]}, {found[0].table.lower()}", *(values.get(n, "–") for n in names)]
        for (system, given), values in stated.items()
    ]
    return folded("Published figures", Table(["system", "source", *names], body).markdown()) if body else ""


def _place(record: Record) -> tuple[bool, str, int]:
    """References first, as they came; then arm by arm: all controls, single ones, none, wrong ones."""
    if record.kind != "paradigm":
        return False, "", 0
    return True, record.system, {"all": 0, "none": 2, "wrong": 3}.get(record.cell.get("scenario", ""), 1)


def _exam(record: Record) -> str:
    return config_hash([record.cell.get(key) for key in ("version", "data", "evaluation")])


def _train(record: Record) -> str:
    model, train = record.cell.get("model", {}), record.cell.get("train", {})
    bought = ("updates",) if "budget" in train else ()  # a budget buys each arm its own number of updates
    shared = {key: value for key, value in train.items() if key not in ("seed", *bought)}
    return config_hash([shared, model.get("controls"), model.get("backbone", {}).get("d_model")])
