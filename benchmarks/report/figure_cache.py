"""Files that are kept: a figure is drawn again only when what it shows has changed, a text written when it differs.

Every figure bears a mark, the fingerprint of what it was drawn from: the records that it shows (the same whether they
are packed or not), the files that it reads, the text of the tables that it belongs to, and the source code that draws
it. Versions of libraries and all other code are left out, so that a commit elsewhere changes no byte of a figure.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ...common.files import write_text
from ..analysis.records import Record, artefact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARK = re.compile(rb"drawn-from:([0-9a-f]{64})")
HEAD = 4096  # bytes of a PNG in which the mark stands
DRAWING = Path(__file__).with_name("style.py")  # the style that all figures share
FIGURES = ("*/figures/*.png", "papers/*/*.png")
READ_ELSEWHERE = ("items", "audio/")  # scores show in the tables; clips are files that a figure names itself
_encode = msgspec.json.Encoder(order="sorted").encode


def fingerprint(
    draw: Callable[..., Any],
    folder: Path,
    records: Iterable[Record],
    tables: Iterable[str] = (),
    files: Iterable[Path] = (),
) -> str:
    """The mark of a figure.

    Args:
        draw: the function that draws it; its module's source counts.
        folder: ``results/<study>`` of ``records``.
        records: that it shows.
        tables: texts of the tables that it belongs to, and whatever else decides what it shows.
        files: that it reads, such as clips; one that is missing counts as missing.
    """
    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)

    for record in records:
        add(_content(record))
        names = [name for name in sorted(record.artefacts) if not name.startswith(READ_ELSEWHERE)]
        add(*((artefact(folder, record, name) or "").encode() for name in names))
    add(*(table.encode() for table in tables))
    for path in files:
        add(path.name.encode(), path.read_bytes() if path.is_file() else b"missing")
    function = draw.func if isinstance(draw, functools.partial) else draw
    add(*(_code(path) for path in (Path(sys.modules[function.__module__].__file__ or ""), DRAWING)))
    return digest.hexdigest()


def kept(path: Path, mark: str) -> bool:
    """Whether a figure bears this mark."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        found = MARK.search(file.read(HEAD))
    return found is not None and found[1].decode() == mark


def drawn(path: Path, mark: str, draw: Callable[[], Figure | None]) -> Path | None:
    """The PNG of ``draw``'s figure, drawn only where ``path`` has another mark; None where there is nothing to draw."""
    from .style import save

    if kept(path, mark):
        return path
    figure = draw()
    if figure is None:
        path.unlink(missing_ok=True)
        return None
    return save(figure, path, mark)


def forget(results: Path) -> None:
    """Delete all figures of reports below the results folder, so that all are drawn again."""
    for pattern in FIGURES:
        for path in results.glob(pattern):
            with path.open("rb") as file:
                marked = MARK.search(file.read(HEAD))
            if marked:
                path.unlink()


def write_changed(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, unless that is its content already."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _content(record: Record) -> bytes:
    """All of a record that a figure can show, by name, so that a field that comes later changes no mark."""
    ran = record.training
    training = ran and [
        ran.updates, ran.cpu_seconds, ran.wall_seconds, ran.tokens, ran.parameters, ran.curve, ran.flops
    ]  # fmt: skip
    metrics = {name: [m.value, m.low, m.high, m.n] for name, m in record.metrics.items()}
    told = [record.id, record.attempt, record.system, record.kind, record.seed, record.status, record.reason]
    return _encode([*told, record.created, record.artefacts, record.timing, record.environment, metrics, training])


@functools.cache
def _code(path: Path) -> bytes:
    """A module's source without comments, docstrings and empty lines; the same text in every version of Python."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [""] * ((first.end_lineno or 0) - first.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip()).encode()
