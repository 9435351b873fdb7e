"""docs/findings.md: every figure of a finding stands on a page or in a table that the finding links to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "findings.md"
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FIGURE = re.compile(r"(?<![\w.,])-?\d+(?:,\d{3})*\.\d+|(?<![\w.,])\d{1,3}(?:,\d{3})+")


def findings() -> list[str]:
    """The bullets of the page, each in one line."""
    return [" ".join(text.split()) for text in re.split(r"\n(?=- |\n|#)", PAGE.read_text()) if text.startswith("- ")]


def figures(text: str) -> list[str]:
    """Numbers with a decimal point or thousands, outside of links' addresses."""
    return FIGURE.findall(LINK.sub("]", text))


@pytest.mark.parametrize("finding", findings(), ids=lambda text: text[:40])
def test_every_figure_stands_on_a_page_that_the_finding_links_to(finding: str) -> None:
    pages = [(PAGE.parent / address).resolve() for address in LINK.findall(finding) if "://" not in address]
    assert pages, "a finding links to its evidence"
    texts = [page.read_text() for page in pages]
    held = {number.lstrip("-") for text in texts for number in FIGURE.findall(text)}
    assert [number for number in figures(finding) if number.lstrip("-") not in held] == []


def test_the_reader_of_figures_reads_what_people_write() -> None:
    assert figures("kad 13.7 [13.0, 14.4], by -8.2 after 1,800 of [small_cpu 2.5](../results/1.5/README.md)") == [
        "13.7", "13.0", "14.4", "-8.2", "1,800", "2.5",
    ]  # fmt: skip
    assert findings()
