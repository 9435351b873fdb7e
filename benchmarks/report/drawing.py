"""One style for all figures: small PNGs, drawn without pyplot so that nothing global is touched."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 80
GREY = "0.45"  # what is no arm: references, published points, roofs


def canvas(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure (inches) and its axes as a (rows, columns) array."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG with a palette, a third of the size of true colour; returns ``path``."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    picture = Image.open(buffer).convert("RGB").quantize(colors=128)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
    return path
