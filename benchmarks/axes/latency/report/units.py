"""Numbers and settings with their units as text, with three digits: ``412 ms``, ``1.84 s``, ``45%``, ``3.2 GiB``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....metrics.metric import Metric

NONE = "–"
NAMED = {
    "batch": "batch {}", "seconds": "{} s", "frame_rate_hz": "{} Hz", "layers": "{} layers", "steps": "{} steps",
    "text_tokens": "{} text tokens", "iterations": "{} iterations", "diffusion_steps": "{} diffusion steps",
    "solver": "{}", "compile": "compiled: {}",
}  # fmt: skip
TEXTS = {"cross": "text by cross-attention", "prefix": "text as prefix", "none": "no text"}
HEADINGS = {"seconds": "seconds of audio", "frame_rate_hz": "frame rate (Hz)"}


def seconds(value: float) -> str:
    """Seconds, milliseconds or microseconds."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale or unit == "µs":
            return f"{short(value / scale)} {unit}"
    raise AssertionError("unreachable")


def short(value: float) -> str:
    """Three significant digits without an exponent."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def count(value: float) -> str:
    """A whole number."""
    return f"{value:,.0f}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"


def size(value: float) -> str:
    """Bytes."""
    return f"{short(value / 2**30)} GiB" if value >= 2**30 else f"{short(value / 2**20)} MiB"


def shown(m: Metric, unit: Callable[[float], str]) -> str:
    """A metric with its interval, if it has one; a dash if it has no value."""
    if m.value is None:
        return NONE
    bounds = "" if m.low is None or m.high is None else f" [{unit(m.low)}, {unit(m.high)}]"
    return unit(m.value) + bounds


def setting(value: Any) -> str:
    """The value of a setting."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def named(name: str, value: Any) -> str:
    """A setting with its name: ``24 layers``, ``25 Hz``."""
    text = setting(value)
    pattern = NAMED.get(name, heading(name) + " {}")
    return TEXTS.get(text, text) if name == "text" else pattern.format(text)


def heading(name: str) -> str:
    """The name of a setting, for columns of tables and axes of figures."""
    return HEADINGS.get(name, name.replace("_", " "))


def rate(value: float) -> str:
    """A large number with a prefix for the unit that follows it: ``790 T``."""
    for scale, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= scale:
            return f"{value / scale:.3g} {letter}"
    return f"{value:.3g} "
