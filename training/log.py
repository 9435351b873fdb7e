"""The log of a training run, ``log.jsonl``: lines of updates and lines of validations, see ``training.loop``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..common.errors import UserError
from ..common.files import write_text


@contextlib.contextmanager
def open_log(path: Path, done: int) -> Iterator[TextIO]:
    """The log, cut back to the checkpoint after update ``done`` and open for appending; 0: it begins anew."""
    kept = [line for line in _lines(path) if done and json.loads(line)["update"] <= done]
    write_text(path, "".join(kept))
    with open(path, "a", encoding="utf-8") as log:
        yield log


def write_line(log: TextIO | None, line: dict[str, float]) -> None:
    """Append ``line``; nothing without a log, in all processes but the first.

    Raises:
        UserError: the disk is full.
    """
    if log is None:
        return
    try:
        log.write(json.dumps(line) + "\n")
        log.flush()
    except OSError as error:
        raise UserError(
            f"cannot write {log.name}: {error.strerror}; free space, then give the same command again"
        ) from error


def read_log(path: Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """The lines of updates, and those of validations."""
    lines = [json.loads(line) for line in _lines(path)]
    return [line for line in lines if "loss" in line], [line for line in lines if "validation_loss" in line]


def _lines(path: Path) -> list[str]:
    """The complete lines of a log, which may not exist or end in half a line."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
