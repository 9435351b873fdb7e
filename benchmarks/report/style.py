"""The style of all figures: small PNGs with the same colours, drawn without pyplot and its global state.

Matplotlib is imported where something is drawn, so that the command line starts without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import paradigms
from ...common.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 80
COLOURS = 64  # size of a PNG's palette
GREY = "0.45"  # colour of what is no arm: references, published points, limits of the hardware
# Shades of a paradigm's colour for its arms: the share that is mixed in, and of which colour: white (1) or black (0).
SHADES = ((0.0, 1), (0.35, 0), (0.45, 1), (0.65, 0), (0.65, 1), (0.2, 1))


def arm_colours(arms: Mapping[str, str]) -> dict[str, Any]:
    """Arm -> colour, the same in every figure: its paradigm's colour, and shades of it for further arms.

    Args:
        arms: label -> name of its paradigm.
    """
    from matplotlib.colors import to_rgb

    known = paradigms.names()
    order = {name: i for i, name in enumerate(dict.fromkeys([*known, *arms.values()]))}
    colours: dict[str, Any] = {}
    for label, paradigm in sorted(arms.items(), key=lambda arm: (arm[0] != arm[1], natural(arm[0]))):
        share, end = SHADES[sum(arms[other] == paradigm for other in colours) % len(SHADES)]
        colours[label] = tuple(part + (end - part) * share for part in to_rgb(f"C{order[paradigm] % 10}"))
    return colours


def natural(text: str) -> list[tuple[float, str]]:
    """Sort key that compares digits as numbers: ``fm``, ``fm-10``, ``fm-200``."""
    return [(float(part), "") if part.isdigit() else (-1.0, part) for part in re.split(r"(\d+)", text)]


def canvas(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure (inches) and its axes as a (rows, columns) array."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def log_ticks(scaled: Any) -> None:
    """Plain numbers along a logarithmic ``XAxis`` or ``YAxis``: 1, 2, 5 of every decade, or 1 alone over 3 decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = scaled.get_view_interval()
    scaled.set_major_locator(LogLocator(subs=(1,) if high / low > 1000 else (1, 2, 5)))
    scaled.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    scaled.set_minor_locator(NullLocator())


def save(figure: Figure, path: Path, mark: str = "") -> Path:
    """Write a figure as PNG with a palette, which takes a third of the bytes of true colour; returns ``path``.

    ``Figure.savefig`` would draw everything twice, because a layout engine places the axes; this draws once.

    Args:
        mark: the fingerprint of what the figure was drawn from (``figure_cache``), stored in the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    picture = pixels.convert("RGB").quantize(colors=COLOURS)
    about = PngInfo()
    about.add_text("Source", f"drawn-from:{mark}")
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True, pnginfo=about if mark else None)
    return path
