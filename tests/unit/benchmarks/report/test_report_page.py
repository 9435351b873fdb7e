"""The page: everything inside, a section per document, links between them, tables and clips as HTML."""

from __future__ import annotations

import base64
import itertools
import re
from pathlib import Path

import pytest
from report_pages import report_page

from paradigm_bench.benchmarks.report.page import Section, render, write_page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return report_page(tmp_path)


def test_the_page_needs_no_other_file(page: Path) -> None:
    text = page.read_text()
    sources = re.findall(r'src="([^"]+)"', text)
    assert len(sources) == 6  # a figure twice, and two clips with their spectrograms
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r'src="(?:https?:)?//|@import|url\(|<link\b|<script src', text)
    clip = next(source for source in sources if source.startswith("data:audio"))
    assert base64.b64decode(clip.partition(",")[2]) == (page.parent / "results/music/audio/one.flac").read_bytes()
    assert "{{" not in text


def test_it_has_a_title_a_language_and_one_heading_of_the_first_level(page: Path) -> None:
    text = page.read_text()
    assert "<title>Which paradigm?</title>" in text
    assert '<html lang="en">' in text
    assert re.findall(r"<h1>(.*?)</h1>", text) == ["Which paradigm?"]
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", text)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_document_is_a_section_and_only_the_first_is_open(page: Path) -> None:
    found = re.findall(r'<details class="section" id="([^"]+)"( open)?><summary><h2[^>]*>(.*?)</h2>', page.read_text())
    assert found == [
        ("overview", " open", "What was found"),
        ("music", "", "music: four arms"),
        ("speech--noise", "", "speech &amp; noise"),
    ]


def test_the_navigation_lists_sections_by_group(page: Path) -> None:
    menu = re.search(r'<div id="menu">(.*?)</div>', page.read_text(), re.DOTALL)
    assert menu
    assert re.findall(r"<p>(.*?)</p>", menu[1]) == ["Fidelity"]  # "Overview" would say the same twice
    assert re.findall(r'<a href="#(.*?)">', menu[1]) == ["overview", "music", "speech--noise"]


def test_links_lead_to_sections_or_to_files_as_seen_from_the_page(page: Path) -> None:
    links = re.findall(r'<a href="([^"]+)"', page.read_text().partition("<main")[2])
    assert links == [
        "#music--scores",
        "#speech--noise",
        "README.md",  # the folder's other document is a file, not the overview
        "https://example.org/paper",
        "#overview--at-a-glance",
        "#overview",
        "#music--scores",
        "#music--scores-1",
        "results/music/records/x.json",
    ]


def test_every_link_within_the_page_has_its_target(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r'\bid="([^"]+)"', text)
    assert len(named) == len(set(named))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(named)


def test_a_page_of_one_document_lists_its_headings(tmp_path: Path) -> None:
    text = "# quickstart\n\n## Scores\n\nx\n\n## What `it` cost\n\n### Deeper\n"
    made = write_page("quickstart", [Section("quickstart", "Fidelity", text, tmp_path)], tmp_path / "report.html")
    menu = re.search(r'<div id="menu">(.*?)</div>', made.read_text(), re.DOTALL)
    assert menu
    assert re.findall(r'<a href="#(.*?)">(.*?)</a>', menu[1]) == [
        ("quickstart--scores", "Scores"),
        ("quickstart--what-it-cost", "What it cost"),
    ]


def test_arms_stand_beside_each_other(page: Path) -> None:
    row = re.search(r"“A tune.” (<span class=\"clips\">.*?)</li>", page.read_text(), re.DOTALL)
    assert row
    assert re.findall(r"<b>(\w+)</b>", row[1]) == ["real", "ar", "gone"]
    assert "<b>gone</b>This clip is not kept." in row[1]
    pictures = re.findall(r'<img src="([^"]+)"', row[1])
    assert len(set(pictures)) == 2
    assert row[1].count("<audio controls") == 2


def test_a_missing_picture_leaves_its_text(page: Path) -> None:
    text = page.read_text()
    assert "<span>Gone</span>" in text
    assert "gone.png" not in text


def test_tables_inside_folded_parts_are_tables() -> None:
    assert "<table>" in render("<details><summary>x</summary>\n\n| a |\n| --- |\n| 1 |\n\n</details>")


def test_tables_of_long_text_become_cards_whose_answers_are_labelled() -> None:
    long = "Who follows the chords that are given in time, and who does not?"
    cards = render(f"| question | *answer* |\n| --- | --- |\n| {long} | ar |\n| | `fm` |")
    assert '<table class="cards">' in cards
    assert '<td data-label="question" class="long">' in cards
    assert '<td data-label="answer">ar</td>' in cards
    assert '<table class="cards">' not in render("| a | b |\n| --- | --- |\n| 0.72 [0.68, 0.77] | 0.68 [0.62, 0.74] |")
