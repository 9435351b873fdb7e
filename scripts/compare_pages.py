"""Compare the numbers on all pages of two results folders: ``python scripts/compare_pages.py OLD NEW``.

Reads every Markdown and CSV file of both folders and compares the numbers in each line, in their order. Words may
differ. The exit status is 1 if a number differs or a file is missing. Run it after a change of the report's code:
copy ``results`` elsewhere, write its report there (``bench report --results COPY``), and compare the two.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Digits that are part of a name or a link (t5, quickstart-s0, page.py#L12) are no numbers of their own.
NUMBER = re.compile(r"(?<![\w/#-])[-+−]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?%?")
KINDS = (".md", ".csv")


def numbers(path: Path) -> list[str]:
    """All numbers of a page, in order."""
    return NUMBER.findall(path.read_text(encoding="utf-8"))


def pages(folder: Path) -> dict[str, Path]:
    """Relative name -> file, of all pages below ``folder``."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.suffix in KINDS}


def compare(old: Path, new: Path) -> list[str]:
    """One line for each page that is missing or has other numbers."""
    held, made = pages(old), pages(new)
    lines = [f"{name}: only in {old if name in held else new}" for name in sorted(held.keys() ^ made.keys())]
    for name in sorted(held.keys() & made.keys()):
        there, here = numbers(held[name]), numbers(made[name])
        if there != here:
            at = next((i for i, pair in enumerate(zip(there, here)) if pair[0] != pair[1]), min(len(there), len(here)))
            lines.append(f"{name}: {len(there)} and {len(here)} numbers; the first that differ: "
                         f"{there[at : at + 3]} and {here[at : at + 3]}")  # fmt: skip
    count = sum(len(numbers(path)) for path in held.values())
    return [*lines, f"{len(held)} pages with {count:,} numbers compared, {len(lines)} differ"]


def main() -> int:
    """Print what differs."""
    if len(sys.argv) != 3 or not all(Path(name).is_dir() for name in sys.argv[1:]):
        print("usage: python scripts/compare_pages.py OLD NEW (two results folders)", file=sys.stderr)
        return 2
    lines = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(lines))
    return int(len(lines) > 1)


if __name__ == "__main__":
    sys.exit(main())
