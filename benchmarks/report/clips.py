"""The clips that a study keeps: where they are, their spectrograms, and links to listen to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...corpora.audio import read_audio
from ..analysis.result_table import ResultTable, TableRow, item_columns
from .markup import image, link


def clips(folder: Path, row: TableRow) -> dict[str, Path]:
    """Prompt id -> audio file, of the row's first record whose clips are still there."""
    for record in row.good:
        named = {name.removeprefix("audio/"): name for name in record.artefacts if name.startswith("audio/")}
        kept = {prompt: folder / record.artefacts[name] for prompt, name in named.items()}
        if held := {prompt: path for prompt, path in kept.items() if path.is_file()}:
            return held
    return {}


def log_spectrogram(path: Path, bands: int = 80, low_hz: float = 60.0) -> np.ndarray:
    """The spectrogram of a file at log-spaced frequencies, 70 dB range.

    Returns:
        (bands, frames), levels in dB; each is the mean power of the linear bins in its band.
    """
    audio, rate = read_audio(path)
    size, hop = 1024, 320
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, size // 2), size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = np.geomspace(low_hz, rate / 2, bands + 1) * size / rate
    first = np.minimum(edges[:-1].astype(int), power.shape[1] - 1)
    last = np.maximum(first + 1, np.ceil(edges[1:]).astype(int))
    level = np.stack([power[:, a:b].mean(axis=1) for a, b in zip(first, last)])
    decibel = 10 * np.log10(level + 1e-10)
    clipped: np.ndarray = np.maximum(decibel, decibel.max() - 70)
    return clipped


def listening(table: ResultTable, figure: Path | None = None, caption: str = "") -> list[str]:
    """Markdown paragraphs: per fixed prompt its caption and a link to each system's clip, arms without clips, a figure.

    Empty where no clips are kept.
    """
    home = table.folder
    files = {row.system: clips(home, row) for row in table.rows if row.good}
    captions = _captions(table)
    lines = []
    for prompt in dict.fromkeys(prompt for held in files.values() for prompt in held):
        kept = {system: held[prompt] for system, held in files.items() if prompt in held}
        links = [link(system, path, home) for system, path in kept.items()]
        lines.append(f"1. “{captions.get(prompt, prompt)}” {' · '.join(links)}")
    if not lines:
        return []
    without = [row.system for row in table.arms if row.good and not files[row.system]]
    missing = f"No clips are kept here of {', '.join(without)}." if without else ""
    return ["## Listen", "\n".join(lines), missing, image(figure, home, caption)]


def _captions(table: ResultTable) -> dict[str, str]:
    """Prompt id as in names of files -> caption, from the first system whose items have captions."""
    for row in (row for row in table.rows if row.good):
        columns = item_columns(table.folder, row.good[0])
        if "caption" in columns:
            return {item.replace("/", "_"): text for item, text in zip(columns["item"], columns["caption"])}
    return {}
