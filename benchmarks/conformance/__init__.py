"""The conformance checks of ``bench check``: what a paradigm must satisfy so that it can be compared with the others.

Each check is a function of a ``ConformanceCase`` (the paradigm with small models and fixed seeds); the first line of
its docstring says what it proves. A check returns if the paradigm passes, else it raises ``CheckFailed``, or
``CheckSkipped`` where it does not apply. The tests of this package hold the built-in paradigms to the same checks.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from ...common.errors import UserError, did_you_mean
from .accounting import cost
from .case import CheckFailed, CheckSkipped, ConformanceCase
from .form import declaration, gradients, saving, shapes
from .hardware import device, precision, unused
from .independence import batch, determinism, global_rng, padding, seeds
from .inpainting import known_frames, span_context
from .learning import learning, playback, weighting
from .sampling import controls, guidance, streaming, text

__all__ = ["CHECKS", "NEEDS", "CheckResult", "CheckSkipped", "ConformanceCase", "run_checks"]

Check = Callable[[ConformanceCase], None]
CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        declaration, shapes, gradients, determinism, global_rng, saving, seeds, batch, padding, weighting, text,
        guidance, controls, known_frames, span_context, streaming, precision, device, unused, cost,
        learning, playback,
    )
}  # fmt: skip

# A check is skipped where one that it needs has failed: it would report the same fault again.
NEEDS: dict[str, tuple[str, ...]] = {
    "shapes": ("declaration",),
    **{name: ("shapes",) for name in CHECKS if name not in ("declaration", "shapes")},
    "global_rng": ("determinism",),
    "seeds": ("determinism", "global_rng"),
    "batch": ("seeds",),
    "padding": ("batch",),
    "saving": ("determinism", "global_rng"),
    "text": ("determinism", "global_rng"),
    "guidance": ("text", "batch"),
    "controls": ("determinism", "global_rng"),
    "weighting": ("batch",),
    "known_frames": ("batch",),
    "span_context": ("known_frames",),
    "streaming": ("determinism", "global_rng"),
    "precision": ("controls", "known_frames"),
    "device": ("controls", "known_frames"),
    "unused": ("gradients", "controls", "known_frames"),
    "playback": ("learning", "text"),
}


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; ``message`` and ``fix`` are empty if it passed."""

    check: str
    status: Literal["pass", "fail", "skipped"]
    message: str = ""
    fix: str = ""


def run_checks(case: ConformanceCase, only: Collection[str] = ()) -> Iterator[CheckResult]:
    """Run the checks one by one, all or ``only`` these.

    Raises:
        UserError: ``only`` names an unknown check.
    """
    for name in only:
        if name not in CHECKS:
            hint = did_you_mean(name, list(CHECKS))
            raise UserError(f"no check is called {name!r}{hint}; known: {', '.join(CHECKS)}")
    sound: dict[str, bool] = {}
    for name in CHECKS:
        if only and name not in only:
            continue
        awaited = [need for need in NEEDS.get(name, ()) if not sound.get(need, True)]
        finding = CheckResult(name, "skipped", f"waits for {awaited[0]}") if awaited else _run(name, case)
        sound[name] = finding.status != "fail" and not awaited
        yield finding


def _run(name: str, case: ConformanceCase) -> CheckResult:
    try:
        CHECKS[name](case)
    except CheckFailed as fault:
        return CheckResult(name, "fail", fault.message, fault.fix)
    except CheckSkipped as skipped:
        return CheckResult(name, "skipped", str(skipped))
    except Exception as error:  # code under test may go wrong in any way, and the other checks should still run
        frame = traceback.extract_tb(error.__traceback__)[-1]
        words = " ".join(str(error).split())
        message = f"{type(error).__name__} at {frame.filename}:{frame.lineno} in {frame.name}: {words}"
        return CheckResult(
            name, "fail", message, "correct the code there; the docstring of paradigms.base says what goes in"
        )
    return CheckResult(name, "pass")
