"""One table, four ways to show it: Markdown, plain text, CSV, LaTeX. Cells are text already; notes stand below."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "≥": r"$\geq$",
    "−": "$-$", "–": "--", "“": "``", "”": "''", "µ": r"$\mu$", "…": r"\ldots{}",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        leading: (row, column) of the cells that lead.
        italic: rows that are references.
        notes: what marks such as ``(a)`` in the cells mean, one line each.
    """

    header: list[str]
    body: list[list[str]]
    leading: frozenset[tuple[int, int]] = frozenset()
    italic: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """A GitHub table: leading cells bold, references italic."""
        lines = [self.header, ["---"] * len(self.header), *self._styled("**{}**", "*{}*")]
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return "\n\n".join([table, *(["\\\n".join(self.notes)] if self.notes else [])])

    def plain(self) -> str:
        """An aligned table for a terminal; ``*`` marks the leading cells."""
        from ...common.console import table

        return "\n".join([table(self.header, self._styled("{} *", "{}")), *self.notes])

    def csv(self) -> str:
        """Comma-separated, without styles and notes."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.header, *self.body])
        return buffer.getvalue()

    def latex(self) -> str:
        """A ``tabular`` with the rules of the booktabs package, to put in a ``table`` of one's own."""
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


def _escape(cells: Iterable[str]) -> list[str]:
    return ["".join(LATEX.get(letter, letter) for letter in cell) for cell in cells]
