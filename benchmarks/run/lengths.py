"""Limits on the length of a clip that a model is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ...common.errors import UserError
from ...common.lines import say
from .worker import is_out_of_memory

LONGEST = 600.0  # seconds; attention over the frames of a longer clip does not fit into the memory of usual machines


def check_length(seconds: float, trained: float, where: str) -> None:
    """Refuse a clip that is too long, and warn of one that is longer than the model's training clips.

    Args:
        seconds: length of the clip.
        trained: length of the training clips, in seconds.
        where: how to call the length in a message, e.g. ``--seconds``.

    Raises:
        UserError: more than ``LONGEST``.
    """
    if seconds > LONGEST:
        raise UserError(f"{where} is {seconds:g} s but must not exceed {LONGEST:g} s")
    if seconds > trained + 0.01:
        say(f"warning: this model was trained on clips of {trained:g} s; {seconds:g} s will probably sound worse")


@contextlib.contextmanager
def enough_memory(seconds: float) -> Iterator[None]:
    """Turn an error for lack of memory into a ``UserError`` of one line.

    Raises:
        UserError: memory ran out inside.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"not enough memory for a clip of {seconds:g} s; choose a shorter one") from error
