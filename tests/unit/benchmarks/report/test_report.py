"""The report over several axes and the pages of studies: every axis has its chapter, what has none is left out."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from fake_axis import FakeAxis

from paradigm_bench.benchmarks.analysis.comparability import PROMPTS, UPDATES, too_short
from paradigm_bench.benchmarks.analysis.records import Record, load_records, save_record
from paradigm_bench.benchmarks.report import report_file, write_report, write_study
from paradigm_bench.benchmarks.report.chapter import Answer, Chapter, StudyPage, StudyRecords
from paradigm_bench.benchmarks.report.markup import Table
from paradigm_bench.benchmarks.study.axis import AXES
from paradigm_bench.common.config import config_hash

QUESTION = "Who tastes best? (sweetness, higher is better)"


def save(results: Path, study: str, axis: str, seed: int = 0) -> None:
    cell = {"axis": axis, "seed": seed}
    record = Record(config_hash(cell), study, axis, "s", "paradigm", seed, "ok", cell, "2026-01-01T00:00:00")
    save_record(results / study, record)


def smell(study: StudyRecords) -> StudyPage:
    return StudyPage(f"{len(study.records)} smelled in {study.name}.", Table(["s", "stench"], [["a", "3"]]))


def taste(study: StudyRecords) -> StudyPage:
    table = Table(["s", "sweet"], [[f"{study.name} {i}", "1"] for i in range(len(study.records))])
    answer = Answer(QUESTION, f"plums of {study.name}", f"{len(study.records)} tasters")
    details = ["## How it was eaten", "[here](records)"]
    return StudyPage(
        f"Tasted in {study.name}.", table, [answer], details, {"tasters": str(len(study.records))},
        (len(study.records),), notes=["Pears were out."],
    )  # fmt: skip


SMELLS, TASTES = Chapter("How it smells: badly", "Does it?", smell), Chapter("Taste", "Is it [good](docs/x.md)?", taste)


class Smell(FakeAxis):
    chapter = f"{__name__}:SMELLS"


class Taste(FakeAxis):
    chapter = f"{__name__}:TASTES"


@pytest.fixture
def two_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AXES, "_entries", {"smell": f"{__name__}:Smell", "taste": f"{__name__}:Taste"})


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in range(3):
        save(tmp_path / "results", "mixed", "smell", seed)
    save(tmp_path / "results", "mixed", "taste")
    save(tmp_path / "results", "mixed", "touch")
    for seed in range(2):
        save(tmp_path / "results", "zest", "taste", seed)
    return tmp_path / "results"


@pytest.mark.usefixtures("two_axes")
def test_every_axis_gets_its_chapter_and_every_study_its_page(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = results.parent / "REPORT.md"
    told = write_report(results, ["zest"], out)
    assert "Tasted in zest." in told
    assert "mixed" not in told
    assert told.endswith(f"Report: {out}\nPages of studies: {results}/STUDY/README.md")
    text = out.read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    general = ["# Report", "## What was asked", "## The answer so far", "## How sure it is"]
    assert headings == [*general, "## How it smells: badly", "## Taste"]
    assert f"| {QUESTION} | plums of zest | [zest](results/zest/README.md): 2 tasters |" in text  # it rests on more
    assert "plums of mixed" not in text
    assert "| [mixed](results/mixed/README.md) |  | 1 |" in text
    assert "| [zest](results/zest/README.md) |  | 2 |" in text
    assert "Is it `docs/x.md`?" in text  # there are no docs beside this report
    page = (results / "mixed" / "README.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        "# mixed", "## How it smells: badly", "## Scores", "## Taste", "## Scores", "## In short", "## How it was eaten"
    ]  # fmt: skip
    assert f"- {QUESTION} **plums of mixed**." in page
    assert "1 record" in (said := capsys.readouterr().err)
    assert "'touch'" in said


@pytest.mark.usefixtures("two_axes")
def test_a_run_writes_the_page_of_its_study_alone(results: Path) -> None:
    told = write_study(results, "zest")
    assert f"{QUESTION}\n    plums of zest" in told
    assert "Pears were out." in told
    where = [f"Page: {results}/zest/README.md", f"HTML page, to listen too: {results}/zest/report.html"]
    assert told.splitlines()[-2:] == where
    written = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.suffix in (".md", ".html")}
    assert written == {"zest/README.md", "zest/report.html"}
    first = (results / "zest" / "README.md").read_bytes()
    write_report(results, [], report_file(results))
    assert (results / "zest" / "README.md").read_bytes() == first
    (results / "zest" / "audio").mkdir()
    assert write_study(results, "zest").endswith(f"Clips: {results}/zest/audio/")


@pytest.mark.usefixtures("two_axes")
def test_the_report_is_a_page_and_json_too_and_has_no_dead_link(results: Path) -> None:
    out = results / "REPORT.md"
    html = out.with_suffix(".html")
    write_report(results, [], out, html=html)
    page = html.read_text()
    assert all(f">{name}<" in page for name in ("Overview", "mixed", "zest"))
    assert json.loads(write_report(results, [], out, as_json=True)) == [
        {"question": QUESTION, "answer": "plums of zest", "study": "zest", "basis": "2 tasters"}
    ]
    links = re.findall(r"\]\(([^)#][^)]*)\)", out.read_text())
    assert links
    assert all((results / link).exists() for link in links)


@pytest.mark.usefixtures("two_axes")
def test_a_report_stays_where_no_chapter_could_replace_it(tmp_path: Path) -> None:
    save(tmp_path, "s", "touch")
    (tmp_path / "REPORT.md").write_text("mine")
    assert "not written" in write_report(tmp_path, ["s"], tmp_path / "REPORT.md")
    assert "no page is written" in write_study(tmp_path, "s")
    assert (tmp_path / "REPORT.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("updates", "prompts", "told"),
    [
        (UPDATES, PROMPTS, ""),
        (20, PROMPTS, f"too short to compare: 20 updates of training (at least {UPDATES})"),
        (UPDATES, 8, f"too short to compare: 8 prompts (at least {PROMPTS})"),
        (20, 8, f"20 updates of training (at least {UPDATES}) and 8 prompts (at least {PROMPTS})"),
    ],
)
def test_from_where_on_arms_are_compared(updates: int, prompts: int, told: str) -> None:
    from paradigm_bench.training.budget import TrainingCost

    cell = {"evaluation": {"prompts": prompts}}
    one = Record("i", "s", "x", "ar", "paradigm", 0, "ok", cell, "", training=TrainingCost(updates, 1.0, 1.0))
    assert told in too_short([one])
    assert bool(too_short([one])) == bool(told)


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


def test_a_record_with_an_unknown_value_is_named_and_stops_no_other_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = Path(__file__).parents[4] / "results" / "samplesize"
    shutil.copytree(published, tmp_path / "samplesize", ignore=shutil.ignore_patterns("figures"))
    record = load_records(tmp_path / "samplesize")[0][0]
    cell = {**record.cell, "noise": "mt19937"}
    odd = save_record(tmp_path / "samplesize", dataclasses.replace(record, id=config_hash(cell), cell=cell))
    write_report(tmp_path, [], tmp_path / "REPORT.md")
    assert f"{odd.stem}: config of a cell" in capsys.readouterr().err
    assert "mt19937" not in (tmp_path / "samplesize" / "README.md").read_text()
