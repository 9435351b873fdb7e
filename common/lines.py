"""Messages on the terminal, one line each, written in one call.

On an unbuffered stream ``print`` writes a line and its end separately, so that lines of several processes (torchrun)
get mixed up.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO


def count(number: int | str, noun: str, plural: str = "") -> str:
    """A number with its noun, e.g. ``1 cell`` or ``1,400 updates``.

    Args:
        number: or a text that stands for it, e.g. ``"250–1,400"``.
        plural: of the noun, if it is not formed with an s.
    """
    text = number if isinstance(number, str) else f"{number:,}"
    return f"{text} {noun if text == '1' else plural or noun + 's'}"


@contextlib.contextmanager
def said_if_slow(text: str, seconds: float = 5.0) -> Iterator[None]:
    """Context that prints ``text`` on stderr if the block runs for longer than ``seconds``."""
    timer = threading.Timer(seconds, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one line, by default on stderr, so that stdout has data only."""
    stream = stream or sys.stderr
    stream.write(text + "\n")
    stream.flush()


def say_once(text: str, stream: TextIO | None = None) -> None:
    """Print one line; under torchrun in the first process only."""
    if os.environ.get("RANK", "0") == "0":
        say(text, stream)
