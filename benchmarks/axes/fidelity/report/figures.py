"""Figures of a study as small PNGs: arms between floor and ceiling, learning curves, spectrograms of fixed prompts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....analysis.metric_validity import reach
from ....analysis.pooling import metric_names, not_usable, pooled, references
from ....analysis.records import Record
from ....analysis.result_table import ResultTable
from ....metrics.catalogue import family
from ....metrics.metric import Metric
from ....report.clips import clips, log_spectrogram
from ....report.figure_cache import drawn, fingerprint
from ....report.style import GREY, arm_colours, canvas
from ....study.references import CEILINGS
from .tables import comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_figures(table: ResultTable) -> dict[str, Path]:
    """Write what the records allow; returns name -> file."""
    scored = comparison(table).markdown()
    files = [path for row in table.rows for path in clips(table.folder, row).values()]
    finals = [record for row in table.rows for record in row.good]
    shown: dict[str, tuple[Callable[[ResultTable], Figure | None], list[Record], list[Path]]] = {
        "scores": (scores, finals, []),
        "learning": (learning, [record for row in table.arms for record in (*row.snapshots, *row.good)], []),
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
    """Every main metric in a panel of its own, every arm on a line: its place between the nearest floor and real audio.

    A metric without floor and ceiling has its own unit.
    """
    names = [name for name in metric_names(table) if not not_usable(table, name)]
    rows = [row for row in table.arms if row.good]
    if not names or not rows:
        return None
    figure, axes = canvas(1, len(names), 2.2 * len(names) + 1, 0.32 * len(rows) + 1)
    colours = arm_colours({row.system: row.paradigm for row in table.arms})
    for axis, name in zip(axes[0], names):
        ends = reach(references(table, name), name)
        placed = {row.system: _placed(pooled(table, row, name), ends) for row in rows}
        for y, (system, (low, value, high)) in enumerate(placed.items()):
            axis.plot([low, high], [y, y], color=colours[system], linewidth=2)
            axis.plot(value, y, "o", color=colours[system])
        for ceiling in (table.row(system) for system in CEILINGS[1:]):
            if ends and ceiling is not None and ceiling.good:
                axis.axvline(_placed(pooled(table, ceiling, name), ends)[1], color=GREY, linewidth=1, linestyle=":")
        if ends:
            axis.set_xlim(min(-0.05, *(low for low, _, _ in placed.values())), 1.1)
            axis.set_xticks((0, 0.5, 1), ("floor", "½", "real"))
        axis.set_title(name, fontsize=9)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_yticks(range(len(rows)), list(placed) if axis is axes[0][0] else [])
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", alpha=0.3)
    return figure


def _placed(m: Metric, ends: tuple[float, float] | None) -> tuple[float, float, float]:
    """Low end, value and high end on the way from the floor (0) to real audio (1); NaN where there is no value."""
    value = math.nan if m.value is None else m.value
    found = [value if end is None else end for end in (m.low, value, m.high)]
    if ends:
        floor, real = ends
        found = [(end - floor) / (real - floor) for end in found]
    return min(found), found[1], max(found)


def learning(table: ResultTable) -> Figure | None:
    """Loss and, where snapshots were scored, adherence, against updates and against CPU seconds."""
    arms = [row for row in table.arms if row.good and row.good[0].training]
    if not arms:
        return None
    adherence = next((name for name in metric_names(table) if family(name) == "adherence"), "")
    with_snapshots = bool(adherence) and any(row.snapshots for row in arms)
    figure, axes = canvas(1 + with_snapshots, 2, 9, 3 * (1 + with_snapshots))
    colours = arm_colours({row.system: row.paradigm for row in table.arms})
    for row in arms:
        for record in row.good:
            _draw_loss(axes[0], record, colours[row.system], row.system if record is row.good[0] else None)
        if with_snapshots:
            _draw_scores(axes[1], [*row.snapshots, *row.good], adherence, colours[row.system])
    axes[0][0].set_ylabel("loss / its first value")
    for column, label in enumerate(("updates", "CPU seconds of training")):
        axes[-1][column].set_xlabel(label)
    if with_snapshots:
        axes[1][0].set_ylabel(adherence)
    axes[0][0].legend(fontsize=8, frameon=False)
    return figure


def _draw_loss(axes: Any, record: Record, colour: Any, label: str | None) -> None:
    curve = record.training.curve if record.training else {}
    if not curve.get("loss"):
        return
    loss = np.asarray(curve["loss"]) / curve["loss"][0]
    for axis, key in zip(axes, ("update", "cpu_seconds")):
        axis.plot(curve[key], loss, color=colour, linewidth=1, label=label)
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
