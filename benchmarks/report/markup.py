"""Tables and pieces of Markdown that pages share.

A ``Table`` holds text and writes itself as Markdown, plain text, CSV or LaTeX. Links and images start from ``home``,
the folder of the page that they are in.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...common.console import table
from ...common.files import write_text
from ..analysis.packs import PACK

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "≥": r"$\geq$",
    "−": "$-$", "–": "--", "“": "``", "”": "''", "µ": r"$\mu$", "…": r"\ldots{}",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table whose cells are text.

    Attributes:
        leading: (row, column) of the best cells, which are shown in bold.
        italic: indices of the rows that are references, whose names are shown in italics.
        notes: lines below the table that explain marks such as ``(a)`` in its cells.
    """

    header: list[str]
    body: list[list[str]]
    leading: frozenset[tuple[int, int]] = frozenset()
    italic: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        lines = [self.header, ["---"] * len(self.header), *self._styled("**{}**", "*{}*")]
        text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return "\n\n".join([text, *(["\\\n".join(self.notes)] if self.notes else [])])

    def plain(self) -> str:
        """An aligned table for a terminal; ``*`` marks the best cells."""
        return "\n".join([table(self.header, self._styled("{} *", "{}")), *self.notes])

    def csv(self) -> str:
        """Comma-separated values, without styles and notes."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.header, *self.body])
        return buffer.getvalue()

    def latex(self) -> str:
        """A LaTeX ``tabular`` with rules of the booktabs package, to be put into a ``table`` environment."""
        escaped = Table(_escape(self.header), [_escape(row) for row in self.body], self.leading, self.italic)
        rows = [" & ".join(row) + r" \\" for row in escaped._styled(r"\textbf{{{}}}", r"\textit{{{}}}")]
        head = [rf"\begin{{tabular}}{{{'l' + 'r' * (len(self.header) - 1)}}}", r"\toprule"]
        notes = [r"\par " + note for note in _escape(self.notes)]
        lines = [*head, " & ".join(escaped.header) + r" \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
        return "\n".join([*lines, *notes]) + "\n"

    def _styled(self, leading: str, italic: str) -> list[list[str]]:
        return [[self._style(i, j, cell, leading, italic) for j, cell in enumerate(r)] for i, r in enumerate(self.body)]

    def _style(self, row: int, column: int, cell: str, leading: str, italic: str) -> str:
        if column == 0 and row in self.italic:
            return italic.format(cell)
        return leading.format(cell) if (row, column) in self.leading else cell


def folded(title: str, text: str) -> str:
    """Markdown that is hidden until the reader clicks on ``title``."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def image(path: Path | None, home: Path, caption: str) -> str:
    """An image with its caption, whose first sentence is the alternative text; empty where ``path`` is None."""
    return f"![{caption.partition('. ')[0].rstrip('.')}]({relative(path, home)})\n\n*{caption}*" if path else ""


def link(text: str, path: Path, home: Path) -> str:
    """A link to a file."""
    return f"[{text}]({relative(path, home)})"


def relative(path: Path, home: Path) -> str:
    """``path`` relative to ``home``, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), home.resolve())).as_posix()


def bullets(lines: Iterable[str]) -> str:
    """A bullet list."""
    return "\n".join(f"- {line}" for line in lines)


def records_link(folder: Path) -> str:
    """A link from a study's page to its records: to their folder, or to the file that they are packed in."""
    return "[records](records)" if (folder / "records").is_dir() else f"[records]({PACK})"


def write_changed(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` unless the file has this content already."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _escape(cells: Iterable[str]) -> list[str]:
    return ["".join(LATEX.get(letter, letter) for letter in cell) for cell in cells]
