"""Papers' pages: published and own numbers apart, every cell traceable, nothing mixed, nothing silently empty."""

from __future__ import annotations

import csv
import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest
from papers_toys import REPOSITORY, quality, speed

from paradigm_bench.benchmarks.analysis.packing import pack
from paradigm_bench.benchmarks.analysis.packs import PACK
from paradigm_bench.benchmarks.analysis.records import save_record
from paradigm_bench.benchmarks.axes.fidelity.cells import data_of, expand
from paradigm_bench.benchmarks.papers.figures import find_panels, line_label
from paradigm_bench.benchmarks.papers.pages import write_papers
from paradigm_bench.benchmarks.papers.record_index import RecordIndex
from paradigm_bench.benchmarks.papers.table_specs import load_paper, paper_keys
from paradigm_bench.benchmarks.study.load import load_study, study_names
from paradigm_bench.common.errors import UserError

ASKED = {
    "tal2025": [*(f"Table {i}" for i in range(2, 9)), *(f"Figure {i}" for i in range(3, 11))],
    "mntp2025": [*(f"Table {i}" for i in (1, 2, 3, 4, 5, 6, 8)), "Figure 4", "Figure 6"],
    "impact2025": [*(f"Table {i}" for i in range(1, 9)), *(f"Figure {i}" for i in range(2, 10))],
    "maskaudioflow2025": ["Table 1", "Table 2", "Figure 3"],
}
LOWER = {"fad_musicnn": "lower"}


def page(results: Path, key: str) -> str:
    """The paper's page, without figures."""
    return write_papers([key], results, figures=False)[0].file.read_text()


def line(text: str, start: str) -> list[str]:
    """The cells of the first table row that starts so."""
    found = next(row for row in text.splitlines() if row.startswith(f"| {start}"))
    return [cell.strip() for cell in found.strip("|").split(" | ")]


@pytest.mark.parametrize("key", paper_keys())
def test_every_table_and_figure_is_declared(key: str) -> None:
    paper = load_paper(key)
    assert not set(ASKED[key]) - {sheet.name for sheet in paper.tables}
    studies = {row.study for sheet in paper.tables for row in sheet.rows} | {sheet.study for sheet in paper.tables}
    assert not studies - {"", "quickstart-music"} - set(study_names())


def test_ours_stand_apart_with_interval_and_records(tmp_path: Path) -> None:
    results = tmp_path
    for seed in (0, 1):
        scores = {"fad_musicnn": [30.0, 32.0, 34.0], "clap_builtin": [0.5, 0.6, 0.7]}
        quality(results, "small_cpu", "ar", scores, seed, LOWER)
    text = page(results, "tal2025")
    header = line(text, " | fad ↓")
    assert header.index("‖ here, not comparable") == 6
    assert header[7:9] == ["*fad_musicnn ↓*", "*clap_builtin*"] or header[7] == "*fad_musicnn ↓*"
    cells = line(text, "AR, 25 Hz")
    assert cells[1:3] == ["0.40", "0.41"]
    assert re.fullmatch(r"\[32\.0\]\(\.\./small_cpu/records/\w+-1\.json\) \[\d.*\]", cells[7])
    assert cells[9] == "6"
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (results / "papers" / target).exists(), target
    assert "judged by `musicnn` and `logmel` and `builtin`, there fadtk's VGGish" in text
    assert "Made by `bench run small_cpu`." in text
    lacks = (
        "arms past their learning (ar: no snapshot shows that learning has stopped); 3 training seeds (ar: 2 seeds); "
        "256 clips in each set for FAD (of fewer clips it is mostly bias)"
    )
    assert f"No verdict on paradigms rests on the numbers here. Missing: {lacks}." in text


def test_the_distances_of_a_tagger_are_in_no_table(tmp_path: Path) -> None:
    scores = {"fad_builtin": [30.0, 32.0], "fad_musicnn": [3.0, 4.0], "clap_builtin": [0.5, 0.6]}
    quality(tmp_path, "small_cpu", "ar", scores)
    text = page(tmp_path, "tal2025")
    assert "fad_builtin" not in text
    assert "fad_musicnn" in text
    assert "clap_builtin" in text


def test_links_lead_to_packed_records(tmp_path: Path) -> None:
    results = tmp_path
    one = quality(results, "small_cpu", "ar", {"fad_musicnn": [30.0, 32.0, 34.0]}, better=LOWER)
    pack(results / "small_cpu")
    text = page(results, "tal2025")
    assert f"[s0](../small_cpu/{PACK})" in text
    assert f"small_cpu/records/{one.stem}.json" in (results / "papers" / "tal2025" / "table-2.csv").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (results / "papers" / target).exists(), target


def test_a_line_without_a_system_says_why(tmp_path: Path) -> None:
    text = page(tmp_path, "mntp2025")
    cells = line(text, "UniAudio")
    mark = re.search(r"\((\w+)\)", cells[-1])
    assert mark
    assert f"({mark[1]}) a system of other authors, not built here." in text
    assert "study `mntp_vs_ntp` has not run here; `bench run mntp_vs_ntp` runs it" in text


def test_a_lines_own_command_and_a_value_that_is_not_there(tmp_path: Path) -> None:
    """Pre-training was an option later: records without it lack the key."""
    results = tmp_path
    quality(results, "masked_fm_spans", "span-4", {"fad_musicnn": [1.0, 2.0]}, better=LOWER)
    assert "no record of ratio-0.5 in masked_fm_spans; `bench run masked_fm_spans --set" in page(
        results, "maskaudioflow2025"
    )
    quality(results, "pretraining", "mar", {"clap_builtin": [0.25, 0.35]}, train__updates=1000)
    quality(results, "pretraining", "mar", {"clap_builtin": [0.65, 0.75]}, train__updates=1000, train__pretraining=900)
    text = page(results, "impact2025").split("## Table 2")[1]
    assert "[0.30]" in " ".join(line(text, "IMPACT base (a)"))
    assert "[0.70]" in " ".join(line(text, "IMPACT base (b)"))


def test_our_numbers_join_the_papers_where_all_is_alike(tmp_path: Path) -> None:
    results, alike = tmp_path, {"fad_panns": [1.0, 2.0]}
    settings = {
        "data__corpus__name": "audiocaps", "evaluation__evaluator__name": "panns",
        "model__backbone__n_layers": 24, "model__backbone__d_model": 768,
    }  # fmt: skip
    quality(results, "mntp_vs_ntp", "mntp", alike, better={"fad_panns": "lower"}, **settings)
    text = page(results, "mntp2025").split("## Table 2")[0]
    assert "| ‖ here | fad_panns ↓ |" in text
    assert "not comparable" not in text


def test_records_of_two_evaluators_are_refused_with_names(tmp_path: Path) -> None:
    results = tmp_path
    one = quality(results, "small_cpu", "ar", {"fad_musicnn": [1.0, 2.0]})
    two = quality(results, "small_cpu", "fm", {"fad_musicnn": [3.0, 4.0]}, evaluation__evaluator__identity="other")
    text = page(results, "tal2025")
    assert f"refused: small_cpu/records/{one.stem}.json (evaluation.evaluator.identity: e)" in text
    assert f"small_cpu/records/{two.stem}.json (evaluation.evaluator.identity: other)" in text
    assert line(text, "AR, 25 Hz")[6].startswith("– (")


def test_records_of_another_schema_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path
    record = quality(results, "small_cpu", "ar", {"fad_musicnn": [1.0, 2.0]})
    path = results / "small_cpu" / "records" / f"{record.stem}.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    assert "study `small_cpu` has not run here" in page(results, "tal2025")
    assert f"{path.name}: schema version 2, this program reads 1" in " ".join(capsys.readouterr().err.split())


def test_tables_whose_columns_are_settings(tmp_path: Path) -> None:
    results = tmp_path
    for batch, seconds in ((1, 0.5), (8, 2.0)):
        speed(results, "impact_table8", "impact", seconds, setting__batch=batch, sampler__iterations=64)
    with open(write_papers(["impact2025"], results, figures=False)[0].folder / "table-8.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["line"] == "IMPACT base, 64 iterations"]
    found = {row["column"]: (row["published"], row["value"]) for row in rows}
    assert found["batch 1"] == ("19.8", "0.5")
    assert found["batch 8"][1] == "2"
    assert found["batch 64"] == ("37.3", "")


def test_figures_are_the_same_bytes_again_and_latex_has_its_columns(tmp_path: Path) -> None:
    results = tmp_path
    for steps, fad in ((2, 60.0), (50, 20.0)):
        quality(results, "fm_steps", f"fm-{steps}", {"fad_musicnn": [fad, fad + 1]}, better=LOWER, sampler__steps=steps)
    folder = write_papers(["tal2025"], results)[0].folder
    first = (folder / "figure-3.png").read_bytes()
    time.sleep(0.01)
    write_papers(["tal2025"], results)
    assert (folder / "figure-3.png").read_bytes() == first
    latex = (folder / "table-8.tex").read_text()
    rows = [row for row in latex.splitlines() if row.endswith(r"\\") and "multicolumn" not in row]
    assert len({row.count(" & ") for row in rows}) == 1
    assert r"\multicolumn{5}{c}{published}" in latex
    assert "not comparable" in latex
    assert not (folder / "figure-5.png").exists()  # nothing published to draw, nothing measured


def test_an_unknown_paper(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'tal2025'"):
        write_papers(["tal2026"], tmp_path)


UNLIKE = {
    "backbone": {"model__backbone__n_layers": 24},
    "budget": {"train__updates": 20},
    "corpus": {"data__corpus__name": "fma"},
    "representation": {"data__representation__name": "encodec"},
    "evaluator": {"evaluation__evaluator__name": "clap"},
    "prompts": {"evaluation__prompts": 16},
}


@pytest.mark.parametrize("what", UNLIKE)
def test_records_of_unlike_settings_never_share_a_table(tmp_path: Path, what: str) -> None:
    quality(tmp_path, "small_cpu", "ar", {"fad_musicnn": [30.0, 32.0]}, better=LOWER)
    quality(tmp_path, "small_cpu", "fm", {"fad_musicnn": [20.0, 22.0]}, better=LOWER, **UNLIKE[what])
    text = page(tmp_path, "tal2025").split("## Table 2 by")[0]
    assert re.search(r"^(refused: .* were judged differently|ar and fm differ in )", text, re.MULTILINE)
    assert "31.0" not in text
    assert "21.0" not in text


def test_records_of_unlike_devices_never_share_a_table(tmp_path: Path) -> None:
    for arm, device in (("ar", "cpu"), ("fm", "NVIDIA A100")):
        record = quality(tmp_path, "small_cpu", arm, {"fad_musicnn": [30.0, 32.0]}, better=LOWER)
        save_record(tmp_path / "small_cpu", dataclasses.replace(record, environment={"device": device}))
    assert "ar and fm differ in device" in page(tmp_path, "tal2025")


@pytest.mark.parametrize(
    "other", [{"model__backbone__n_layers": 24}, {"model__options": {"x": 1}}, {"sampler__steps": 5}]
)
def test_seeds_of_unlike_settings_are_not_pooled(
    tmp_path: Path, other: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    quality(tmp_path, "small_cpu", "ar", {"fad_musicnn": [30.0, 32.0]}, 0, LOWER, **other)
    record = quality(tmp_path, "small_cpu", "ar", {"fad_musicnn": [20.0, 22.0]}, 1, LOWER)
    save_record(tmp_path / "small_cpu", dataclasses.replace(record, created="2026-01-02T00:00:00"))
    cells = line(page(tmp_path, "tal2025"), "AR, 25 Hz")
    assert "[21.0]" in cells[7]
    assert "small_cpu: ar of seed 0 differs from the arm's newest record in" in capsys.readouterr().err


def test_the_whole_of_what_is_committed(tmp_path: Path) -> None:
    from paradigm_bench.benchmarks.papers.pages import make_page

    index = RecordIndex(REPOSITORY / "results")
    filled = [part.filled for part in make_page("tal2025", tmp_path, index).parts if part.filled]
    assert any(one.records for one in filled)
    assert not [one.refused for one in filled if one.refused]


def test_no_line_of_a_committed_figure_has_two_points_at_one_place() -> None:
    """As the line of an arm that goes another way would add to that of its paradigm."""
    index, double = RecordIndex(REPOSITORY / "results"), []
    for key in paper_keys():
        for sheet in (sheet for sheet in load_paper(key).tables if sheet.plot):
            for panel in find_panels(sheet, index)[0]:
                places = [(point.line, point.x, point.y) for point, _ in panel.points]
                double += [(key, sheet.id, panel.metric)] * (len(places) > len(set(places)))
    assert not double


def test_an_arm_on_raw_latents_has_weights_of_its_own() -> None:
    settings = ["arms=[fm, {paradigm: fm, label: raw, normalisation: none}]", "evaluation.references=[]"]
    cells = expand(load_study("smoke", settings))
    trained = {cell.system: cell for cell in cells if cell.at_updates == 20}
    assert trained["fm"].group != trained["raw"].group
    assert "normalisation" not in trained["fm"].config["model"]  # what was measured before it was an option stays valid
    assert trained["raw"].config["model"]["normalisation"] == "none"
    assert data_of(trained["raw"]).latent.std == 1.0
    assert data_of(trained["fm"]).latent.std > 1.2


def test_a_line_is_named_by_what_is_on() -> None:
    keys = ("model.paradigm", "sampler.repredict")
    assert line_label(("masked_fm", True), keys) == "masked_fm, repredict"
    assert line_label(("masked_fm", False), keys) == "masked_fm"
