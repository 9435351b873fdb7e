"""Lines for the person at the terminal, each written in one piece.

``print`` writes a line and its end apart where the stream is not buffered, so that lines of several processes
(torchrun) run into each other.
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
        number: or its text, for one that is written otherwise, e.g. ``"250–1,400"``.
        plural: of the noun, where it is not the noun with an s.
    """
    text = number if isinstance(number, str) else f"{number:,}"
    return f"{text} {noun if text == '1' else plural or noun + 's'}"


@contextlib.contextmanager
def said_if_slow(text: str, seconds: float = 5.0) -> Iterator[None]:
    """Say ``text`` if what is done inside takes longer than ``seconds``."""
    timer = threading.Timer(seconds, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one line, by default on stderr, so that stdout holds data only."""
    stream = stream or sys.stderr
    stream.write(text + "\n")
    stream.flush()


def say_once(text: str, stream: TextIO | None = None) -> None:
    """Print one line from the first process only, under torchrun."""
    if os.environ.get("RANK", "0") == "0":
        say(text, stream)
