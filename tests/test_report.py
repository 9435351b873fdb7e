"""The report over several axes, and its tables: every axis has its chapter, what has none is named and left out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

import benchmarks.report.chapter as chapters
from benchmarks.records import Record, save_record
from benchmarks.report import write_report
from benchmarks.report.chapter import Answer, Chapter, StudyRecords
from benchmarks.report.table import Table
from common.config import config_hash
from common.registry import Registry


def save(results: Path, study: str, axis: str, seed: int = 0) -> None:
    cell = {"axis": axis, "seed": seed}
    record = Record(config_hash(cell), study, axis, "s", "paradigm", seed, "ok", cell, "2026-01-01T00:00:00")
    save_record(results / study, record)


def smells(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    told = {study.name: f"{len(study.records)} smelled in {study.name}" for study in studies}
    return Chapter("How it smells: badly", ["## How it smells: badly", "", *told.values()], told, {"smell": "| pong |"})


def tastes(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    told = {study.name: f"{len(study.records)} tasted in {study.name}" for study in studies}
    answer = Answer("Who tastes best?", "plums", "Of plums", "3 tasters")
    return Chapter("Taste", ["## Taste", *told.values()], told, answers=[answer])


@pytest.fixture
def two_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"smell": f"{__name__}:smells", "taste": f"{__name__}:tastes"}
    monkeypatch.setattr(chapters, "CHAPTERS", Registry("chapter", entries))


@pytest.mark.usefixtures("two_axes")
def test_every_axis_gets_its_chapter_even_of_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, out = tmp_path / "results", tmp_path / "REPORT.md"
    for seed in range(3):
        save(results, "mixed", "smell", seed)
    save(results, "mixed", "taste")
    save(results, "mixed", "touch")
    save(results, "zest", "taste")
    (tmp_path / "README.md").write_text("<!-- smell -->\nold\n<!-- /smell -->\n<!-- glance --><!-- /glance -->\n")
    told = write_report(results, ["mixed"], out)
    assert told == f"3 smelled in mixed\n\n1 tasted in mixed\n\nReport: {out}"
    text = out.read_text()
    assert "[How it smells: badly](#how-it-smells-badly) · [Taste](#taste)" in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["# Report", "## At a glance", "## How it smells: badly", "## Taste"]
    assert "| Who tastes best? | plums | [Of plums](#of-plums): 3 tasters |" in text
    assert "| plums | [Of plums](REPORT.md#of-plums)" in (tmp_path / "README.md").read_text()
    assert "1 tasted in zest" in text
    assert "| pong |" in (tmp_path / "README.md").read_text()
    assert "1 record(s)" in (said := capsys.readouterr().err)
    assert "'touch'" in said


@pytest.mark.usefixtures("two_axes")
def test_a_single_chapter_needs_no_contents(tmp_path: Path) -> None:
    save(tmp_path, "zest", "taste")
    write_report(tmp_path, [], tmp_path / "REPORT.md")
    assert "Chapters" not in (tmp_path / "REPORT.md").read_text()


@pytest.mark.usefixtures("two_axes")
def test_a_report_stays_where_no_chapter_could_replace_it(tmp_path: Path) -> None:
    save(tmp_path, "s", "touch")
    (tmp_path / "REPORT.md").write_text("mine")
    assert "not written" in write_report(tmp_path, ["s"], tmp_path / "REPORT.md")
    assert (tmp_path / "REPORT.md").read_text() == "mine"


TABLE = Table(
    ["arm", "fad_x ↓"],
    [["ar|50%", "1.0 (a)"], ["real", "–"]],
    leading=frozenset({(0, 1)}),
    italic=frozenset({1}),
    notes=("(a) few & far",),
)


def test_markdown_table() -> None:
    assert TABLE.markdown() == (
        "| arm | fad_x ↓ |\n| --- | --- |\n| ar\\|50% | **1.0 (a)** |\n| *real* | – |\n\n(a) few & far"
    )


def test_plain_table() -> None:
    assert TABLE.plain().splitlines() == [
        "arm     fad_x ↓", "------  ---------", "ar|50%  1.0 (a) *", "real    –", "(a) few & far",
    ]  # fmt: skip


def test_csv_table_reads_back() -> None:
    assert list(csv.reader(io.StringIO(TABLE.csv()))) == [TABLE.header, *TABLE.body]


def test_latex_table_has_booktabs_rules_and_no_bare_special_letters() -> None:
    assert TABLE.latex().splitlines() == [
        r"\begin{tabular}{lr}", r"\toprule", r"arm & fad\_x $\downarrow$ \\", r"\midrule",
        r"ar|50\% & \textbf{1.0 (a)} \\", r"\textit{real} & -- \\", r"\bottomrule", r"\end{tabular}",
        r"\par (a) few \& far",
    ]  # fmt: skip
