"""Chords over time, below the chroma of a clip: those requested, those of the real audio, those of the output."""

from __future__ import annotations

import colorsys
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .....corpora.audio import read_audio
from .....corpora.extractors.builtin import chroma, magnitudes
from .....corpora.pitch import PITCH_CLASSES, pitch_class
from ....analysis.records import artefact
from ....report.clips import clips
from ....report.style import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ....analysis.result_table import ResultTable, TableRow

Spans = list[tuple[float, float, str]]
CEILINGS = ("real", "codec_quantised")
COLUMNS = ("all", "wrong")
NARROWEST = 0.07  # of the width: a chord that is shorter has no room for its name


def chord_timeline(table: ResultTable) -> Figure | None:
    """One prompt: the real clip and its resynthesis on top, then each arm with right and with wrong controls.

    None where no prompt has clips and chords of all systems.
    """
    arms = table.labels
    grid = [[table.row(name) for name in CEILINGS]]
    grid += [[table.row(f"{arm}, {scenario}") for scenario in COLUMNS] for arm in arms]
    told = {row.system: _told(table, row) for rows in grid for row in rows if row is not None}
    real = told.get(CEILINGS[0], {})
    prompt = next((p for p in real if sum(p in one for one in told.values()) == len(told)), None)
    kept = [rows for rows in grid if any(row is not None and told[row.system] for row in rows)]
    if prompt is None or len(kept) < 2:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.9 * len(kept)))
    figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0)
    outer = figure.add_gridspec(len(kept), 2)
    for i, rows in enumerate(kept):
        for j, row in enumerate(rows):
            if row is None or not told[row.system]:
                continue
            about, audio = told[row.system][prompt], clips(table.folder, row)[prompt]
            shown = {"request": about["prompt"], "given": about["given"], "reference": real[prompt]["heard"]}
            if row.kind == "reference" or about["given"] == about["prompt"]:
                del shown["given"]
            if row.system != CEILINGS[0]:
                shown["output"] = about["heard"]
            inner = outer[i, j].subgridspec(2, 1, height_ratios=(12, 4 * len(shown)), hspace=0)
            top, bottom = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
            seconds = _chroma(top, audio)
            top.set_title(row.system, fontsize=9)
            _chords(bottom, {name: spans for name, spans in shown.items() if spans is not None}, seconds)
    return figure


def chord_name(label: str) -> str:
    """A chord label of Harte et al. 2005 as musicians write it: ``C``, ``Am``, ``G7``, ``Bbm7``; a dash for none."""
    root, _, kind = label.partition(":")
    return "–" if label in ("N", "X") else root + {"maj": "", "min": "m", "min7": "m7", "maj7": "△"}.get(kind, kind)


def chord_colour(label: str) -> Any:
    """Hue by the circle of fifths, so that neighbours in harmony are neighbours in colour; minor darker; none grey."""
    root, _, kind = label.partition(":")
    if root in ("N", "X"):
        return GREY
    minor = kind.startswith(("min", "dim", "hdim"))
    return colorsys.hsv_to_rgb(pitch_class(root) * 7 % 12 / 12, 0.55 if minor else 0.4, 0.8 if minor else 1.0)


def _told(table: ResultTable, row: TableRow) -> dict[str, Any]:
    """Prompt -> its chords (``prompt``, ``given``, ``heard``), of the prompts of a row whose clips are still there."""
    for record in row.good:
        text = artefact(table.folder, record, "chords")
        if text:
            files = clips(table.folder, row)
            return {prompt: about for prompt, about in json.loads(text).items() if prompt in files}
    return {}


def _chroma(axis: Any, path: Path) -> float:
    """Draw the chromagram of a file; returns its length in seconds."""
    audio_N, rate = read_audio(path)
    seconds = len(audio_N) / rate
    chroma_TP = chroma(magnitudes(audio_N, rate))
    chroma_TP = chroma_TP / np.maximum(chroma_TP.max(axis=1, keepdims=True), 1e-9)
    axis.imshow(
        chroma_TP.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, seconds, -0.5, 11.5),
        interpolation="nearest",
    )
    axis.set_xticks([])
    axis.set_yticks(range(0, 12, 2), PITCH_CLASSES[::2], fontsize=6)
    return seconds


def _chords(axis: Any, shown: dict[str, Spans], seconds: float) -> None:
    for y, spans in enumerate(shown.values()):
        for start, end, label in spans:
            axis.barh(
                y, end - start, left=start, height=0.92, color=chord_colour(label), edgecolor="white", linewidth=0.5
            )
            if end - start >= NARROWEST * seconds:
                axis.text((start + end) / 2, y, chord_name(label), ha="center", va="center", fontsize=7)
    axis.set_yticks(range(len(shown)), list(shown), fontsize=7)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlim(0, seconds)
    axis.tick_params(axis="x", labelsize=6)
    axis.tick_params(axis="both", length=2)
