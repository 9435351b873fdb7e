"""Spectrograms of fixed prompts with the span that was filled marked: the original, the splice, and every arm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .....corpora.audio import read_audio
from ....analysis.records import artefact
from ....report.clips import clips, log_spectrogram
from ....report.style import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ....analysis.result_table import ResultTable

REFERENCES = ("real", "splice")  # the ceiling and the floor
PROMPTS = 3
MARK = "#00e5ff"


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


def _draw(axis: Any, level_FT: Any, seconds: float, span: tuple[float, float]) -> None:
    axis.imshow(level_FT, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, 1))
    for edge in span:
        axis.axvline(edge, color=MARK, linewidth=1, linestyle=(0, (4, 2)))
    bracket = {"color": MARK, "linewidth": 3, "solid_capstyle": "butt", "clip_on": False}
    axis.plot(span, (1.04, 1.04), transform=axis.get_xaxis_transform(), **bracket)
    axis.set_xlim(0, seconds)
