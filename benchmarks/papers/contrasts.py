"""A contrast between arms, as ``claims/*.yaml`` states it: what is expected of which arms by which metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

EXPECTED = {
    "better": "better than",
    "far_better": "far better than",
    "same": "as good as",
    "lower": "lower than",
    "higher": "higher than",
}
UNITS = {
    "hz": "{} Hz",
    "frames": "{} frames",
    "seconds": "{} s",
    "n_layers": "{} layers",
    "name": "{}",
    "scenario": "{}",
}


@dataclass(frozen=True)
class Side:
    """One arm of a contrast: its label in ``study`` (default: the contrast's), and what its records must have."""

    arm: str
    study: str = ""
    cell: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``fm (100 Hz, 400 frames)``."""
        settings = ", ".join(_setting_text(key.rpartition(".")[2], value) for key, value in self.cell.items())
        return f"{self.arm} ({settings})" if settings else self.arm


@dataclass(frozen=True)
class ContrastPair:
    """Two arms whose difference is taken off."""

    a: Side
    b: Side


@dataclass(frozen=True)
class Contrast:
    """By one metric, ``a`` is better than ``b``, or the same, or lower or higher where that is what the claim says.

    Attributes:
        metric: a family (``fad``: by every judge that the records have; with ``_window`` at its end: of windows), or
            the full name of a metric.
        minus: the difference between these two is taken off first.
        varies: dotted keys, or the beginnings of such, in which the records may differ, because the claim is about
            them. The keys by which the sides are chosen may differ anyway.
        margin: of ``same``, for a metric in which tables compare nothing. Of counts: what the ratio must stay below.
        hardware: the class of machine that a claim about speed names; empty: any.
        b_may_fail: the claim says that ``b`` is bad, so ``b`` may lie at a floor.
        run: the command that makes the records, where ``bench run <study>`` is not enough.
    """

    metric: str
    a: Side
    b: Side
    expect: Literal["better", "far_better", "same", "lower", "higher"] = "better"
    study: str = ""
    minus: ContrastPair | None = None
    varies: tuple[str, ...] = ()
    margin: float | None = None
    hardware: Literal["", "gpu"] = ""
    b_may_fail: bool = False
    run: str = ""

    @property
    def sides(self) -> list[Side]:
        """All arms, in the order a, b, minus.a, minus.b."""
        return [self.a, self.b, *([self.minus.a, self.minus.b] if self.minus else [])]

    @property
    def chosen_by(self) -> list[str]:
        """The dotted keys by whose values its sides are chosen."""
        return list(dict.fromkeys(key for side in self.sides for key in side.cell))

    @property
    def free(self) -> list[str]:
        """The dotted keys in which its records may differ."""
        return [*self.varies, *self.chosen_by]

    @property
    def title(self) -> str:
        """The contrast in words."""
        names = [side.title for side in self.sides]
        text = f"{self.metric}: {names[0]} {EXPECTED[self.expect]} {names[1]}"
        return f"{text}, more than {names[2]} against {names[3]}" if self.minus else text


def _setting_text(key: str, value: Any) -> str:
    """``100 Hz``, ``with skips``, ``batch 32``."""
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {key}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return UNITS.get(key, f"{key} {{}}").format(value if not isinstance(value, float) else text)
