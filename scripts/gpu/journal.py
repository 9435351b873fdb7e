"""The lines of one part: printed as they come, and written to a JSON file after each of them."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paradigm_bench.common.files import read_json, write_json

AGAIN = 3
"""Exit status of a part that has to continue in a new process."""


class Journal:
    """The results of a part so far.

    Args:
        path: the JSON file. The whole file is replaced after every line, so that it is valid even if the part is
            killed.
        until: Unix time at which the part is stopped. If the file has the same time, an earlier process of this run
            wrote it, and its lines are kept. The file of another run is replaced.
        about: facts about the whole part, such as the device.

    Attributes:
        about: these facts; keys can be added later.
        lines: one mapping per line; ``ok`` tells whether the result is as it should be.
    """

    def __init__(self, path: Path, part: str, until: float, **about: Any) -> None:
        self.path, self.lines = path, list[dict[str, Any]](read(path, until).get("lines", []))
        self.about: dict[str, Any] = {"part": part, "until": until, "finished": False, **about}
        self._start = time.perf_counter()
        self.write()

    def add(self, text: str, **line: Any) -> None:
        """Print ``text`` and keep ``line``."""
        print(text, flush=True)
        self.lines.append({key: _finite(value) for key, value in line.items()})
        self.write()

    @contextlib.contextmanager
    def guarded(self, name: str, log: Path) -> Iterator[None]:
        """Turn an exception into a line that is not ok; its traceback goes to the file ``log``."""
        try:
            yield
        except Exception as error:
            note = explained(name, error, log)
            self.add(f"WRONG {name}: {note}", name=name, ok=False, note=note)

    def finish(self) -> int:
        """Mark the part as finished; returns its exit status: 1 if any line is not ok, else 0."""
        self.about["finished"] = True
        self.write()
        return int(any(not line.get("ok", True) for line in self.lines))

    def write(self) -> None:
        """Replace the file."""
        self.about["seconds"] = round(time.perf_counter() - self._start, 1)
        write_json(self.path, {**self.about, "lines": self.lines})


def read(path: Path, until: float | None = None) -> dict[str, Any]:
    """Content of the file of a journal, or an empty mapping if there is none, or none with this ``until``."""
    found = dict(read_json(path)) if path.is_file() else {}
    return found if until is None or found.get("until") == until else {}


def explained(name: str, error: Exception, log: Path) -> str:
    """The exception in one line; its traceback is appended to the file ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{name}\n{''.join(traceback.format_exception(error))}\n")
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _finite(value: Any) -> Any:
    """``value``, or its name if it is a NaN or infinite, which JSON cannot hold."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
