"""Tables of reconstruction, the paired differences under them, and the published table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .....common.lines import count
from ....analysis import published as papers
from ....analysis.pooling import compare_rows, pooled
from ....analysis.records import Record, latest
from ....analysis.result_table import Board, Row, exam_of
from ....metrics.catalogue import about, family
from ....report.markup import folded
from ....report.table import Table
from ...fidelity.report.tables import ARROWS, figure

SIGNAL = {"si_snr": "SI-SNR, dB", "visqol": "ViSQOL", "log_msd": "log-MSD", "log_mel_distance": "log-mel distance"}
CONTENT = ("fad", "chord_iou", "beat_f1", "downbeat_f1", "melody_chroma", "pitch_accuracy")
CEILING, FLOORS = "real", ("noise", "silence")
COMPARED = ("si_snr", "visqol", "log_msd", "chord_iou", "beat_f1", "pitch_accuracy")
PAIRED = "Differences, paired by clip, with 95% intervals; **bold** where the interval leaves out zero:"
PAPER, SOURCE = "tal2025", "Appendix B table"
CALLED_HERE = {"si_snr_db": "si_snr"}


def make_board(study: str, folder: Path, records: Sequence[Record]) -> Board:
    """The ceiling, every view of every representation, the floors; of the newest exam alone, and the newest of each."""
    held = list(latest(records).values())
    eval_set = exam_of(max(held, key=lambda r: r.created))
    kept = {r.system: r for r in sorted(held, key=lambda r: r.created) if exam_of(r) == eval_set}
    rows = [Row(name, record.kind, [record], []) for name, record in sorted(kept.items(), key=lambda kv: _place(kv[0]))]
    return Board(study, folder, rows, {"another setting": len(held) - len(kept)})


def _place(system: str) -> tuple[bool, bool, str]:
    return system in FLOORS, system != CEILING, system


def signal(board: Board) -> Table:
    """What a representation costs, and how much of the very clip comes back."""
    header = ["system", "frames/s", "per frame", "bits/s"]
    header += [label + ARROWS[about(name).better] for name, label in SIGNAL.items()] + ["real-time factor ↓"]
    body = []
    for row in board.rows:
        speed = row.records[0].timing.get("real_time_factor")
        body.append([row.system, *_facts(row), *_figures(board, row, SIGNAL), "–" if speed is None else f"{speed:.3f}"])
    return Table(header, body, italic=_references(board), notes=_notes(board))


def content(board: Board) -> Table:
    """Likeness as a set, and what is left of the music, with its share of what is found in the clips themselves."""
    held = {name for row in board.rows for record in row.good for name in record.metrics}
    names = [name for wanted in CONTENT for name in sorted(held) if family(name) == wanted]
    header = ["system", *(name + ARROWS[about(name).better] for name in names)]
    ceiling = board.row(CEILING)
    body = []
    for row in board.rows:
        cells = _figures(board, row, names)
        for i, name in enumerate(names):
            full, own = (pooled(board, r, name).value if r is not None else None for r in (ceiling, row))
            if about(name).better == "higher" and full and own is not None and row is not ceiling:
                cells[i] += f", {own / full:.0%}"
        body.append([row.system, *cells])
    note = "Per cent: of what the extractors find in the clips themselves (the row `real`)."
    return Table(header, body, italic=_references(board), notes=(note,))


def findings(board: Board) -> list[str]:
    """A codec's codes against its own latents, and every other representation against the first, a line each."""
    views = [row for row in board.rows if row.good and "representation" in row.records[0].cell]
    lines = []
    for row in views:
        about_row = row.records[0].cell["representation"]
        other = _other(views, about_row)
        if other is None or other is row:
            continue
        told = [text for name in COMPARED if (text := _difference(board, row, other, name))]
        if told:
            lines.append(f"{row.system} against {other.system}: {'; '.join(told)}.")
    return lines


def _other(views: list[Row], about_row: dict[str, Any]) -> Row | None:
    """Of a quantised view the continuous one of the same weights, else the study's first continuous view."""
    abouts = [(row, row.records[0].cell["representation"]) for row in views]
    if about_row["view"] == "quantised":
        same = (row for row, a in abouts if a["fingerprint"] == about_row["fingerprint"] and a["view"] == "continuous")
        return next(same, None)
    return next((row for row, a in abouts if a["view"] == "continuous"), None)


def _difference(board: Board, row: Row, other: Row, name: str) -> str:
    if not all(name in one.good[0].metrics for one in (row, other)):
        return ""
    compared = compare_rows(board, row, other, name)
    if compared is None:
        return ""
    gap = compared.difference
    sure = gap.low > 0 or gap.high < 0
    text = f"{SIGNAL.get(name, name)} {gap.estimate:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
    return f"**{text}**" if sure else text


def basis(board: Board) -> str:
    """What the figures rest on, in a sentence."""
    record = board.records[-1]
    eval_set = record.cell["evaluation"]
    heard = ", ".join(f"{kind} by {name}" for kind, name in eval_set["heard_by"].items())
    return (
        f"Corpus `{record.cell['data']['corpus']['name']}`, {count(eval_set['prompts'], eval_set['split'] + ' clip')} of "
        f"{eval_set['seconds']:g} s, judged at {eval_set['sample_rate']} Hz; evaluator `{eval_set['evaluator']['name']}` "
        f"({eval_set['evaluator']['identity'][:8]}), {heard}. Command: `{record.command}`."
    )


def published(results: Path) -> str:
    """The paper's table, in its own words: other music, models and sample rate, one definition unknown."""
    found = [one for one in papers.results(results) if (one.paper, one.table) == (PAPER, SOURCE) and one.value]
    stated: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        row = stated.setdefault((one.system, one.setting["frame_rate_hz"]), {})
        row[CALLED_HERE.get(one.metric, one.metric)] = one.value
    if not stated:
        return ""
    names = [name for name in SIGNAL if any(name in values for values in stated.values())]
    header = ["system", "source", "frames/s", *(SIGNAL[name] + ARROWS[about(name).better] for name in names)]
    body = [
        [f"*{system}*", f"*{papers.NAMES[PAPER]}, appendix B*", f"*{rate}*", *(f"*{v.get(n, '–')}*" for n in names)]
        for (system, rate), v in stated.items()
    ]
    why = (
        "In italics, since none of it compares with the figures above but for the order: other music, other models, "
        "another sample rate. The paper does not define its log-MSD (ours: `benchmarks/metrics/reconstruction.py`) and "
        "measures EnCodec without its quantiser."
    )
    return folded("Published figures", f"{why}\n\n{Table(header, body).markdown()}")


def _facts(row: Row) -> list[str]:
    held = row.records[0].cell.get("representation")
    if held is None:
        return ["–", "–", "–"]
    if held["view"] == "continuous":
        return [f"{held['frame_rate_hz']:g}", f"{count(held['channels'], 'channel')}", "–"]
    codes = f"{count(held['codebooks'], 'code')} of {held['cardinality']}"
    return [f"{held['frame_rate_hz']:g}", codes, f"{held['bits_per_second']:g}"]


def _figures(board: Board, row: Row, names: Any) -> list[str]:
    if not row.good:
        failed = row.records[0]
        return [f"{failed.status}: {failed.reason}", *[""] * (len(names) - 1)]
    return [figure(pooled(board, row, name)) for name in names]


def _references(board: Board) -> frozenset[int]:
    return frozenset(i for i, row in enumerate(board.rows) if "reference" in row.records[0].cell)


def _notes(board: Board) -> tuple[str, ...]:
    """Why a column is empty."""
    told = {r.environment.get("scoring", {}).get("visqol", "") for row in board.rows for r in row.good}
    without = sorted(text for text in told if "pip install" in text)
    return (f"ViSQOL: {without[0]}, then run the study again.",) if without else ()
