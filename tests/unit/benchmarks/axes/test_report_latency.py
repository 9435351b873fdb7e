"""The pages of latency from made-up records whose times, ratios and crossovers are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from latency_records import example, save

from paradigm_bench.benchmarks.analysis import published
from paradigm_bench.benchmarks.analysis.packs import studies_in
from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.axes.latency.report import units
from paradigm_bench.benchmarks.axes.latency.report.chapter import answers
from paradigm_bench.benchmarks.axes.latency.report.crossover import (
    crossovers,
    from_batch,
    matching,
    published_speeds,
    sentences,
)
from paradigm_bench.benchmarks.axes.latency.report.sweeps import Sweep, make_sweeps
from paradigm_bench.benchmarks.axes.latency.report.tables import against_baselines, in_short, measurements
from paradigm_bench.benchmarks.report import write_report
from paradigm_bench.benchmarks.report.chapter import StudyRecords
from paradigm_bench.benchmarks.report.style import arm_colours
from paradigm_bench.common.errors import UserError

PUBLISHED = Path(__file__).parents[4] / "results"


def sweeps(results: Path, study: str) -> list[Sweep]:
    return make_sweeps(StudyRecords(study, results / study, load_records(results / study)[0]))


def test_places_are_told_apart_and_accelerators_lead(tmp_path: Path) -> None:
    save(tmp_path, "s", "ar", dtype="fp32", device="cpu", hardware="EPYC", threads=2, created="09:00")
    save(tmp_path, "s", "ar", dtype="fp32", device="cpu", hardware="EPYC", threads=4)
    save(tmp_path, "s", "ar", threads=1)
    save(tmp_path, "s", "fm", threads=8)  # on a GPU the CPU's threads do not matter
    save(tmp_path, "s", "ar", d_model=512)
    save(tmp_path, "s", "ar", dtype="fp32")
    platforms = [sweep.platform for sweep in sweeps(tmp_path, "s")]
    places = [(one.device, one.dtype, one.threads, one.width) for one in platforms]
    assert len(places) == 5
    assert [device for device, *_ in places] == ["cuda", "cuda", "cuda", "cpu", "cpu"]
    assert places[3] == ("cpu", "fp32", 2, 1024)


def test_what_varies_within_an_arm_was_swept(tmp_path: Path) -> None:
    for batch in (1, 8):
        save(tmp_path, "s", "fm", batch=batch)
        save(tmp_path, "s", "ar", batch=batch)  # its sampler differs from fm's, which is no sweep
    sweep = sweeps(tmp_path, "s")[0]
    assert sweep.swept == ["batch"]
    assert [(p.system, p.settings["batch"]) for p in sweep.points] == [("ar", 1), ("ar", 8), ("fm", 1), ("fm", 8)]


def test_options_are_swept_too(tmp_path: Path) -> None:
    for width in (256, 1024):
        save(tmp_path, "s", "mar", options={"head": {"width": width}})
    sweep = sweeps(tmp_path, "s")[0]
    assert sweep.swept == ["options.head.width"]
    assert [p.settings["options.head.width"] for p in sweep.points] == [256, 1024]


def test_of_a_setting_measured_twice_the_newest_stands(tmp_path: Path) -> None:
    save(tmp_path, "s", "ar", 0.25, created="02:00")
    save(tmp_path, "s", "ar", 0.5, created="01:00", first_audio_seconds=1.0)
    points = sweeps(tmp_path, "s")[0].points
    assert [p.value("bound_ratio") for p in points] == [0.25]


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("backbone.d_ff", {"backbone": {"d_ff": 512}}),
        ("backbone.n_heads", {"backbone": {"n_heads": 2}}),
        ("latent.dim", {"latent": {"dim": 64}}),
        ("latent.codebooks", {"latent": {"codebooks": 8}}),
        ("protocol.warm_ups", {"protocol": {"warm_ups": 1}}),
        ("setting.first_audio_seconds", {"first_audio_seconds": 2.0}),
        ("version", {"version": 0}),
    ],
)
@pytest.mark.parametrize("baseline", ["", "transformers"])
def test_what_was_not_swept_must_agree_and_what_is_left_out_is_counted(
    key: str, other: dict[str, Any], baseline: str, tmp_path: Path
) -> None:
    save(tmp_path, "s", "ar", batch=8, created="01:00", peer=baseline or None, **other)
    save(tmp_path, "s", "ar", batch=1, created="02:00")
    (sweep,) = sweeps(tmp_path, "s")
    assert [point.settings["batch"] for point in sweep.points] == [1]
    assert sweep.left_out == {key: 1}
    write_report(tmp_path, [], tmp_path / "REPORT.md")
    assert f"1 that differs in {key}" in (tmp_path / "s" / "README.md").read_text()


def test_a_line_has_time_rate_and_share(tmp_path: Path) -> None:
    save(tmp_path, "s", "ar", 0.5)  # 500 steps, each 0.8008e9 bytes at 4e12 bytes/s: 0.1001 s at the bound
    table = measurements(sweeps(tmp_path, "s")[0])
    line = dict(zip(table.header, table.body[0]))
    assert line["latency ↓"] == "200 ms [196 ms, 204 ms]"
    assert line["clips / s ↑"] == "5.00"
    assert line["real-time factor ↓"] == "0.0200"
    assert line["share of bound ↑"] == "50%"
    assert line["bound"] == "100 ms"
    assert line["evaluations"] == "500"
    assert line["peak memory"] == "1,001 MiB"
    assert line["n"] == "20"


def test_failures_and_unmet_criteria_are_footnotes(tmp_path: Path) -> None:
    save(tmp_path, "s", "ar", unmet=("spread: 3.1%, not 2%", "samples: 5 of 11"))
    save(tmp_path, "s", "ar", batch=2, unmet=("samples: 9 of 11", "spread: 2.4%, not 2%"))
    for batch, status in ((4, "oom"), (8, "timeout"), (16, "unsupported"), (32, "throttled"), (64, "failed")):
        save(tmp_path, "s", "ar", batch=batch, status=status, reason=f"{status}, because")
    sweep = sweeps(tmp_path, "s")[0]
    table = measurements(sweep)
    shown = [row[2] for row in table.body]
    assert [cell.split(" ")[-1] for cell in shown[:2]] == ["(a)", "(a)"]
    assert shown[2:] == ["oom (b)", "timeout (c)", "unsupported (d)", "throttled (e)", "failed (f)"]
    assert table.notes[0] == "(a) criteria not met: samples, spread"
    assert table.notes[5] == "(f) failed, because"
    assert [row[1] for row in in_short(sweep).body[2:]] == ["oom", "timeout", "unsupported", "throttled", "failed"]


def test_ours_stands_beside_its_peer(tmp_path: Path) -> None:
    save(tmp_path, "s", "ar", 0.6)
    save(tmp_path, "s", "ar", 0.2, peer="transformers")
    save(tmp_path, "s", "ar", 0.1, peer="transformers", batch=2)  # nothing of ours to hold it against
    table = against_baselines(sweeps(tmp_path, "s")[0])
    assert table is not None
    assert len(table.body) == 1
    line = dict(zip(table.header, table.body[0]))
    assert line["peer / ours"] == "3.00 × [2.88, 3.12]"  # intervals are 2% to either side
    assert (line["share of bound, ours"], line["share of bound, peer"]) == ("60%", "20%")


@pytest.mark.parametrize(
    ("lead", "since"),
    [
        ({1: -1, 2: -1, 4: 1, 8: 1}, 4),
        ({1: -1, 2: 0, 4: 1}, 4),
        ({1: 1, 2: 1}, 1),
        ({1: -1, 2: -1}, None),
        ({1: -1, 2: 1, 4: -1}, None),
        ({1: -1, 2: 1, 4: 0}, None),
    ],
)
def test_the_crossover_is_where_ar_stays_ahead(lead: dict[float, int], since: float | None) -> None:
    assert from_batch(lead) == since


def test_crossover_measured_and_by_the_bound(tmp_path: Path) -> None:
    # At the bound AR takes 0.1 (1 + batch / 1000) s and FM 0.05 batch s, so AR leads from batch 4. At an eighth of its
    # bound AR takes 0.813 s at batch 16 against 0.8 s, which intervals of 2% do not tell apart.
    for batch in (1, 2, 4, 8, 16, 32):
        save(tmp_path, "s", "ar", 1 / 8, batch=batch)
        save(tmp_path, "s", "fm", 1.0, batch=batch)
    sweep = sweeps(tmp_path, "s")[0]
    (pair,) = crossovers(sweep)
    assert pair.measured == {1: -1, 2: -1, 4: -1, 8: -1, 16: 0, 32: 1}
    assert pair.bound == {1: -1, 2: -1, 4: 1, 8: 1, 16: 1, 32: 1}
    said = sentences(sweep, published_speeds())
    assert said[0] == (
        "ar against fm: measured, AR is ahead from batch 32 on (range 1 to 32); "
        "by the bound, AR is ahead from batch 4 on (range 1 to 32)."
    )
    assert said[1] == "Tal et al. 2025 state: AR is ahead from batch 64 on (A100, 24 layers)."


def test_no_crossover_is_said(tmp_path: Path) -> None:
    for batch in (1, 2):
        save(tmp_path, "s", "ar", 0.01, batch=batch)
        save(tmp_path, "s", "fm", 1.0, batch=batch)
        save(tmp_path, "s", "fm_unguided", 1.0, batch=batch, paradigm="fm", sampler={"guidance": 1.0})
    said = sentences(sweeps(tmp_path, "s")[0], [])
    assert len(said) == 1  # guided AR is not held against unguided FM
    assert "measured, no crossover in the range 1 to 2: FM is ahead throughout" in said[0]


def test_where_nobody_stays_ahead_every_batch_is_told(tmp_path: Path) -> None:
    for batch, share in {1: 0.9, 2: 1.0, 4: 0.3}.items():  # 0.1 / share s against 0.05, 0.1 and 0.2 s
        save(tmp_path, "s", "ar", share, batch=batch)
        save(tmp_path, "s", "fm", 1.0, batch=batch)
    said = sentences(sweeps(tmp_path, "s")[0], [])
    assert "measured, no crossover in the range 1 to 4: undecided at batch 2, FM is ahead at batch 1, 4;" in said[0]


def test_medians_without_intervals_decide_nothing(tmp_path: Path) -> None:
    for batch in (1, 2):
        save(tmp_path, "s", "ar", 1.0, batch=batch, n=3)
        save(tmp_path, "s", "fm", 0.01, batch=batch)
    said = sentences(sweeps(tmp_path, "s")[0], [])
    assert "measured, no crossover in the range 1 to 2: undecided throughout" in said[0]


def test_the_fastest_at_a_glance(tmp_path: Path) -> None:
    for batch, ar, fm in ((1, 0.5, 0.02), (8, 0.5, 0.25), (64, 0.5, 0.5)):
        save(tmp_path, "s", "ar", ar, batch=batch)
        if batch < 64:  # not shared: no comparison there
            save(tmp_path, "s", "fm", fm, batch=batch)
    (line,) = answers(sweeps(tmp_path, "s"))
    assert line.question == "Which system is fastest? (latency of one batch, lower is better)"
    assert line.basis == sweeps(tmp_path, "s")[0].platform.title
    first, last = line.answer.split("; ")
    assert re.fullmatch(r"10 s, batch 1: ar \S+ m?s, fm \S+ m?s", first), first
    assert last.startswith("10 s, batch 8: ")
    assert answers(sweeps(tmp_path, "none")) == []


def test_papers_stand_beside_the_same_depth_and_duration_only(tmp_path: Path) -> None:
    for name, setting in {"same": {}, "short": {"seconds": 5.0}, "shallow": {"layers": 4}}.items():
        save(tmp_path, name, "ar", **setting)
    found = {
        name: [speed.value for speed in matching(sweeps(tmp_path, name)[0], published_speeds())]
        for name in ("same", "short", "shallow")
    }
    assert found == {"same": [6.5], "short": [], "shallow": []}


def test_a_broken_file_of_stated_figures_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results.csv").write_text("paper,value\nx,1\n")
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"results\.csv, line 2"):
        published_speeds()


def test_the_pages_and_the_report(tmp_path: Path) -> None:
    results = tmp_path / "results"
    example(results)
    told = write_report(results, ["latency_batch"], tmp_path / "REPORT.md")
    assert "AR is ahead from batch" in told
    assert "latency_steps" not in told
    kinds = set()
    for study in studies_in(results):
        text = (results / study / "README.md").read_text()
        links = re.findall(r"\]\(([^)#][^)]*)\)", text)
        kinds |= {link.split("-")[-1] for link in links if link.endswith("png")}
        for link in links:
            assert (results / study / link).exists(), link
            assert (results / study / link).stat().st_size < 300_000
    assert kinds == {"shares.png", "roofline.png", "batch.png", "seconds.png", "layers.png", "heat.png"}
    page = (results / "latency_batch" / "README.md").read_text()
    for word in ("bf16", "500 frames", "64 text tokens", "guidance 3", "inside the clock: the sampler alone"):
        assert word in page
    assert "AR is ahead from batch" in page
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    header = next(row for row in rows if "share of bound ↑" in row)
    measured = [dict(zip(header, row)) for row in rows if len(row) == len(header)]
    of_ar = [row for row in measured if row["system"] == "ar" and row["batch"] == "64"]
    assert [row["share of bound ↑"] for row in of_ar] == ["62%"] * 2
    assert "oom (a)" in next(row for row in measured if row["batch"] == "512").values()
    report = (tmp_path / "REPORT.md").read_text()
    assert all(f"(results/{study}/README.md)" in report for study in studies_in(results))


def test_a_study_in_which_nothing_ran_has_a_table_and_no_figures(tmp_path: Path) -> None:
    save(tmp_path / "results", "s", "ar", status="oom", reason="too large")
    write_report(tmp_path / "results", [], tmp_path / "REPORT.md")
    text = (tmp_path / "results" / "s" / "README.md").read_text()
    assert "oom (a)" in text
    assert "(a) too large" in text
    assert "![" not in text


def test_an_arm_keeps_its_colour_whatever_stands_beside_it() -> None:
    few = arm_colours({"fm": "fm"})
    many = arm_colours({"fm_10": "fm", "ar": "ar", "fm": "fm", "mine": "my_paradigm"})
    assert few["fm"] == many["fm"]
    assert len(set(many.values())) == 4


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (units.seconds(0.4119), "412 ms"),
        (units.seconds(1.8), "1.80 s"),
        (units.seconds(2.5e-7), "0.250 µs"),
        (units.seconds(1234.5), "1,234 s"),
        (units.short(999.6), "1,000"),
        (units.share(0.0345), "3.5%"),
        (units.size(3 * 2**30), "3.00 GiB"),
        (units.rate(7.9e14), "790 T"),
        (units.setting(10.0), "10"),
    ],
)
def test_figures_have_three_digits(shown: str, text: str) -> None:
    assert shown == text
