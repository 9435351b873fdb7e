"""Lines for the person at the terminal, each written in one piece.

``print`` writes a line and its end apart where the stream is not buffered, so that lines of several processes
(torchrun) run into each other.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """One line, on stderr unless told otherwise, so that stdout stays data."""
    stream = stream or sys.stderr
    stream.write(text + "\n")
    stream.flush()


def say_once(text: str, stream: TextIO | None = None) -> None:
    """What every process under torchrun would say: the first alone says it."""
    if os.environ.get("RANK", "0") == "0":
        say(text, stream)
