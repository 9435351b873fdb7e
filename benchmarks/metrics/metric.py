"""``Metric``: a value of a record with its interval, n, unit and better end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """A value; ``low`` and ``high`` bound its 95% interval (None: no interval). ``value`` None: not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"


def metric(value: float | None, **fields: Any) -> Metric:
    """A Metric whose NaN or infinite numbers become None, since JSON has neither."""
    finite = {k: (None if isinstance(v, float) and v - v != 0 else v) for k, v in {"value": value, **fields}.items()}
    return Metric(**finite)  # type: ignore[arg-type]
