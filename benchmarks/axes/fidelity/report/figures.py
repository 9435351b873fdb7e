"""Figures of a study as small PNGs: arms between floor and ceiling, learning curves, spectrograms of fixed prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....analysis.agreement import lead_metrics, valid_leads
from ....analysis.budgets import twins
from ....analysis.metric_validity import reach
from ....analysis.pooling import metric_names, not_usable, pooled, references, was_trained_against
from ....analysis.records import Record
from ....analysis.result_table import ResultTable, TableRow
from ....metrics.catalogue import family
from ....metrics.metric import Metric
from ....report.clips import clips, log_spectrogram
from ....report.figure_cache import drawn, fingerprint
from ....report.style import GREY, arm_colours, canvas
from ....study.references import CEILINGS
from . import budgets
from .scores import comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINE_MARKERS = {"retrieved": "v", "sine_chords": "D"}  # above the arms


def write_figures(table: ResultTable) -> dict[str, Path]:
    """Write what the records allow; returns name -> file."""
    scored = comparison(table).markdown()
    files = [path for row in table.rows for path in clips(table.folder, row).values()]
    finals = [record for row in table.rows for record in row.good]
    courses = [record for row in table.arms for record in (*row.snapshots, *row.good)]
    others = [record for twin in twins(table) for record in twin.table.runs]
    shown: dict[str, tuple[Callable[[ResultTable], Figure | None], list[Record], list[Path]]] = {
        "scores": (scores, finals, []),
        "learning": (learning, courses, []),
        "budgets": (budgets.draw, [*courses, *others], []),
        "spectrograms": (spectrograms, finals, files),
    }
    made = {}
    for name, (draw, records, read) in shown.items():
        mark = fingerprint(draw, table.folder, records, [table.study, scored], read)
        path = drawn(table.folder / "figures" / f"{name}.png", mark, partial(draw, table))
        if path is not None:
            made[name] = path
    return made


def scores(table: ResultTable) -> Figure | None:
    """The lead metric of every judge, and adherence, in panels: each arm's place between nearest floor and real audio.

    Baselines without a model have a marker each. A metric without floor and ceiling has its own unit.
    """
    adherence = [name for name in metric_names(table) if family(name) == "adherence" and not not_usable(table, name)]
    names, rows = [*valid_leads(table), *adherence], [row for row in table.arms if row.good]
    if not names or not rows:
        return None
    figure, axes = canvas(1, len(names), 2.6 * len(names) + 1.4, 0.32 * len(rows) + 1.3)
    for axis, name in zip(axes[0], names):
        _panel(axis, table, rows, name)
        axis.set_yticks(range(len(rows)), [row.system for row in rows] if axis is axes[0][0] else [])
    handles, labels = axes[0][-1].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return figure


def _panel(axis: Any, table: ResultTable, rows: Sequence[TableRow], name: str) -> None:
    """One metric: a line per arm, and what it is measured against."""
    colours = arm_colours({row.system: row.paradigm for row in table.arms})
    ends = reach(references(table, name), name)
    low_end = -0.05
    for y, row in enumerate(rows):
        low, value, high = _placed(pooled(table, row, name), ends)
        faint = 0.35 if was_trained_against(row, name) else 1.0
        axis.plot([low, high], [y, y], color=colours[row.system], linewidth=2, alpha=faint)
        axis.plot(value, y, "o", color=colours[row.system], alpha=faint)
        low_end = min(low_end, low)
    for system, style in {**dict.fromkeys(CEILINGS[1:], None), **BASELINE_MARKERS}.items():
        held = table.row(system)
        if not ends or held is None or not held.good:
            continue
        value = _placed(pooled(table, held, name), ends)[1]
        if style is None:
            axis.axvline(value, color=GREY, linewidth=1, linestyle=":")
        else:
            axis.axvline(value, color=GREY, linewidth=0.6)
            axis.plot(value, -0.6, style, color="black", markersize=6, clip_on=False, label=system, linestyle="none")
        low_end = min(low_end, value)
    if ends:
        axis.set_xlim(low_end - 0.03, 1.1)
        axis.set_xticks((0, 0.5, 1), ("floor", "½", "real"))
    axis.set_title(name, fontsize=9, pad=10)
    axis.set_ylim(len(rows) - 0.5, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", alpha=0.3)


def _placed(m: Metric, ends: tuple[float, float] | None) -> tuple[float, float, float]:
    """Low end, value and high end on the way from the floor (0) to real audio (1); NaN where there is no value."""
    value = math.nan if m.value is None else m.value
    found = [value if end is None else end for end in (m.low, value, m.high)]
    if ends:
        floor, real = ends
        found = [(end - floor) / (real - floor) for end in found]
    return min(found), found[1], max(found)


def learning(table: ResultTable) -> Figure | None:
    """Losses and, where snapshots were scored, the judges' metrics and adherence, against updates and CPU seconds."""
    arms = [row for row in table.arms if row.good and row.good[0].training]
    if not arms:
        return None
    adherence = [name for name in metric_names(table) if family(name) == "adherence"]
    names = [*lead_metrics(table), *adherence] if any(row.snapshots for row in arms) else []
    figure, axes = canvas(1 + len(names), 2, 9, 2.3 * (1 + len(names)) + 0.4)
    colours = arm_colours({row.system: row.paradigm for row in table.arms})
    for row in arms:
        for record in row.good:
            _draw_loss(axes[0], record, colours[row.system], row.system if record is row.good[0] else None)
        for pair, name in zip(axes[1:], names):
            _draw_scores(pair, [*row.snapshots, *row.good], name, colours[row.system])
    for pair, label in zip(axes, ("loss / first training loss", *names)):
        pair[0].set_ylabel(label)
    for column, label in enumerate(("updates", "CPU seconds of training")):
        axes[-1][column].set_xlabel(label)
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure


def _draw_loss(axes: Any, record: Record, colour: Any, label: str | None) -> None:
    curve = record.training.curve if record.training else {}
    if not curve.get("loss"):
        return
    held_out = record.training.validation if record.training else {}
    validated = held_out.get("update", ())
    seconds = np.interp(validated, (0, *curve["update"]), (0, *curve["cpu_seconds"]))
    for axis, key, at in zip(axes, ("update", "cpu_seconds"), (validated, seconds)):
        axis.plot(curve[key], np.divide(curve["loss"], curve["loss"][0]), color=colour, linewidth=1, label=label)
        if held_out:
            axis.plot(at, np.divide(held_out["loss"], curve["loss"][0]), "--", color=colour, linewidth=1)
        axis.grid(alpha=0.3)


def _draw_scores(axes: Any, records: list[Record], name: str, colour: Any) -> None:
    points: dict[int, list[tuple[float, float]]] = {}
    for record in records:
        value = record.metrics.get(name, Metric(None)).value
        if record.training and value is not None:
            points.setdefault(record.training.updates, []).append((record.training.cpu_seconds, value))
    updates = sorted(points)
    means = [np.mean(points[update], axis=0) for update in updates]
    for axis, xs in zip(axes, (updates, [mean[0] for mean in means])):
        axis.plot(xs, [mean[1] for mean in means], "o-", color=colour, markersize=4)
        axis.grid(alpha=0.3)
    for update in updates:
        for seconds, value in points[update]:
            axes[0].plot(update, value, ".", color=colour, alpha=0.4, markersize=4)
            axes[1].plot(seconds, value, ".", color=colour, alpha=0.4, markersize=4)


def spectrograms(table: ResultTable) -> Figure | None:
    """One row per fixed prompt: the real clip, then every arm's, first seed."""
    columns = [row for row in table.rows if row.good and (row.kind == "paradigm" or row.system == CEILINGS[0])]
    shown = [(row.system, files) for row in columns if (files := clips(table.folder, row))]
    prompts = list(dict.fromkeys(prompt for _, files in shown for prompt in files))
    if not prompts:
        return None
    places = [(i, j, files.get(prompt)) for i, prompt in enumerate(prompts) for j, (_, files) in enumerate(shown)]
    tiles = {(i, j): log_spectrogram(path) for i, j, path in places if path is not None}
    figure, axes = canvas(1, 1, 2.1 * len(shown) + 0.4, 1.35 * len(prompts) + 0.3)
    axis: Axes = axes[0][0]
    axis.imshow(
        mosaic(tiles, len(prompts), len(shown)), aspect="auto", cmap="magma", extent=(0, len(shown), len(prompts), 0)
    )
    axis.xaxis.tick_top()
    axis.set_xticks(np.arange(len(shown)) + 0.5, [system for system, _ in shown], fontsize=9)
    axis.set_yticks(np.arange(len(prompts)) + 0.5, [f"prompt {i + 1}" for i in range(len(prompts))], fontsize=8)
    axis.tick_params(length=0)
    axis.tick_params(axis="y", labelrotation=90)
    axis.spines[:].set_visible(False)
    return figure


def mosaic(tiles: dict[tuple[int, int], np.ndarray], rows: int, columns: int, width: int = 240) -> np.ndarray:
    """Spectrograms (low bands first) in a grid, as one picture: axes for each would take ten times as long to draw.

    Args:
        tiles: (row, column) -> (bands, frames), stretched to ``width`` and to levels from 0 to 1.

    Returns:
        (rows * bands, columns * width), high bands on top; NaN between the tiles and where there is none.
    """
    bands = max((len(tile) for tile in tiles.values()), default=1)
    picture = np.full((rows, bands + 4, columns, width + 8), np.nan)
    for (row, column), tile in tiles.items():
        frames = np.arange(width) * tile.shape[1] // width
        level = (tile - tile.min()) / max(1e-9, tile.max() - tile.min())
        picture[row, 2:-2, column, 4:-4] = level[::-1, frames]
    return picture.reshape(rows * (bands + 4), columns * (width + 8))
