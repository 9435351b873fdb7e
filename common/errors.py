"""The exception whose message is shown to the user."""

from __future__ import annotations

import difflib


class UserError(Exception):
    """Bad input. The message is one line on what is wrong and how to fix it; the CLI prints it and exits with 2."""


def did_you_mean(name: str, choices: list[str]) -> str:
    """`` (did you mean 'x'?)`` with the closest of ``choices``; an empty string if none is similar."""
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
