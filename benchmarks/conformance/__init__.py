"""The conformance suite: what a paradigm must keep so that the referee may compare it (``bench check``).

Each check is one small function on a ``Case`` (the paradigm, small and seeded); its docstring says what it proves. A
check returns when all is well, raises ``Fault`` (what is wrong, how to mend it) or ``Skipped``. The built-in paradigms
are held to the same functions by the suite's own tests.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from ...common.errors import UserError, did_you_mean
from .accounting import cost
from .case import Case, Fault, Skipped
from .filling import known_frames, span_context
from .form import declaration, gradients, saving, shapes
from .hardware import device, precision, unused
from .independence import batch, determinism, global_rng, padding, seeds
from .learning import learning, playback, weighting
from .sampling import controls, guidance, streaming, text

Check = Callable[[Case], None]
CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        declaration, shapes, gradients, determinism, global_rng, saving, seeds, batch, padding, weighting, text,
        guidance, controls, known_frames, span_context, streaming, precision, device, unused, cost,
        learning, playback,
    )
}  # fmt: skip

# What a check takes for granted: where that failed, its own finding would be the same fault by another name.
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
class Finding:
    """What one check found; ``message`` and ``mend`` are empty where it passed."""

    check: str
    status: Literal["pass", "fail", "skipped"]
    message: str = ""
    mend: str = ""


def examine(case: Case, only: Collection[str] = ()) -> Iterator[Finding]:
    """Run the checks one by one, all or ``only`` some.

    Raises:
        UserError: a check that there is not.
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
        finding = Finding(name, "skipped", f"waits for {awaited[0]}") if awaited else _run(name, case)
        sound[name] = finding.status != "fail" and not awaited
        yield finding


def _run(name: str, case: Case) -> Finding:
    try:
        CHECKS[name](case)
    except Fault as fault:
        return Finding(name, "fail", fault.message, fault.mend)
    except Skipped as skipped:
        return Finding(name, "skipped", str(skipped))
    except Exception as error:  # code under test may go wrong in any way, and the other checks should still run
        frame = traceback.extract_tb(error.__traceback__)[-1]
        words = " ".join(str(error).split())
        message = f"{type(error).__name__} at {frame.filename}:{frame.lineno} in {frame.name}: {words}"
        return Finding(name, "fail", message, "mend the code there; the docstring of paradigms.base says what goes in")
    return Finding(name, "pass")
