"""The pages of control and inpainting: rows per scenario, a verdict per arm, published figures from their file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paradigm_bench.benchmarks.analysis.records import Record
from paradigm_bench.benchmarks.axes.control.report.chapter import CHAPTER as CONTROL
from paradigm_bench.benchmarks.axes.control.report.chapter import published as control_published
from paradigm_bench.benchmarks.axes.control.report.chord_timeline import chord_colour, chord_name
from paradigm_bench.benchmarks.axes.inpainting.report.chapter import CHAPTER as INPAINTING
from paradigm_bench.benchmarks.axes.inpainting.report.chapter import published as inpainting_published
from paradigm_bench.benchmarks.metrics.entropy import curve_csv, per_clip
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.report.chapter import Chapter, StudyRecords
from paradigm_bench.benchmarks.report.study_page import StudyReport
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.files import write_json, write_text
from paradigm_bench.corpora.audio import write_audio

N = 16


def text_of(chapter: Chapter, folder: Path, records: list[Record]) -> str:
    """The page of a study."""
    page = chapter.describe(StudyRecords("s", folder, records))
    return StudyReport("s", folder, "", {"control": page}).text()


def record(system: str, scenario: str | None, value: float, lr: float = 1e-3, created: int = 1) -> Record:
    kind = "paradigm" if scenario else "reference"
    model: dict[str, Any] = {"paradigm": system, "controls": [{"name": "chords_majmin"}, {"name": "drums"}]}
    data = {"corpus": {"name": "c"}, "representation": {"name": "r"}, "text": "t"}
    eval_set = {"prompts": N, "split": "test", "seconds": 4.0, "sample_rate": 16000, "evaluator": {"name": "b"}}
    cell = {"axis": "control", "data": data, "evaluation": eval_set, "scenario": scenario, "model": model}
    if scenario:
        model["backbone"] = {"d_model": 8, "n_layers": 2}
        cell["train"] = {"lr": lr, "updates": 400, "batch": 4, "seconds": 4.0, "ema_decay": 0.9, "precision": "fp32"}
    same = metric(0.4, low=0.3, high=0.5, n=N, better="higher")
    found = {"chord_iou": metric(value, low=value - 0.05, high=value + 0.05, n=N, better="higher"), "beat_f1": same}
    made = f"2026-01-01T00:00:{created:02d}"
    identity = config_hash([system, cell])
    return Record(identity, "s", "control", system, kind, 0, "ok", cell, made, metrics=found)


def with_items(one: Record, folder: Path) -> Record:
    """``one`` with clips' scores around its own."""
    path = folder / "s" / f"{one.id}.csv"
    rows = [",".join(["item", *one.metrics])]
    shift = (N - 1) / 2
    rows += [",".join([f"p{i}", *(str(m.value + (i - shift) / 200) for m in one.metrics.values())]) for i in range(N)]
    write_text(path, "\n".join(rows))
    return dataclasses.replace(one, artefacts={"items": path.name})


def test_arms_that_follow_and_those_that_are_not_shown_to_are_told_apart(tmp_path: Path) -> None:
    records = [record("real", None, 0.95), record("shuffled_captions", None, 0.05)]
    for arm, given in (("ar", 0.7), ("fm", 0.18)):
        records += [record(arm, "wrong", 0.18), record(arm, "none", 0.3), record(arm, "all", given)]
    records.append(record("ar", "all", 0.99, lr=5e-3, created=0))  # of another training: not in this table
    records = [with_items(one, tmp_path) for one in records]
    told = CONTROL.describe(StudyRecords("s", tmp_path / "s", records))
    text = text_of(CONTROL, tmp_path / "s", records).partition("Published figures")[0]
    right, wrong = "0.70 [0.65, 0.75] with all controls", "0.18 [0.13, 0.23] with another clip's"
    assert f"- this run of ar follows its chords: chord_iou {right}, {wrong}: +0.52 [+0.52, +0.52], p " in text
    assert "- this run of fm **is not shown to follow its** chords" in text
    assert "- `beat_f1` decides nothing here: shuffled_captions (0.4) does not differ enough from real (0.4)." in text
    assert "its** drums" not in text  # the metric does not tell real from shuffled, so it says nothing of an arm
    assert "melody" not in text  # it has no such control
    assert "| *real* | 0.95 [0.90, 1.00] |" in text
    rows = [line.split(" |")[0] for line in text.splitlines() if line.startswith(("| ar", "| fm"))]
    assert rows == [f"| {arm}, {given}" for arm in ("ar", "fm") for given in ("all", "none", "wrong")]
    assert "0.99" not in text
    assert len(told.table.body) == 8
    short = {answer.question: (answer.answer, answer.basis) for answer in told.answers}
    asked = "Do clips follow the chords given in time? (gain in chord_iou over another clip's, higher is better)"
    assert short == {asked: ("yes: this run of ar (+0.52); not shown: fm (+0.00)", "1 seed, 16 prompts")}
    assert told.row["follow chords (chord_iou)"] == "this run of ar (of 2)"
    assert "follow drums (beat_f1)" not in told.row
    assert "All arms: 1 training seed, and at least 3 are needed" in told.notes[-1]  # arms, not their rows


def test_a_gain_inside_the_margin_follows_nothing(tmp_path: Path) -> None:
    """The margin is 5% of the way from real (0.95) to shuffled captions (0.05), 0.045; all clips gain alike."""
    records = [record("real", None, 0.95), record("shuffled_captions", None, 0.05)]
    for arm, given in (("ar", 0.23), ("fm", 0.21)):
        records += [record(arm, "wrong", 0.18), record(arm, "all", given)]
    told = CONTROL.describe(StudyRecords("s", tmp_path / "s", [with_items(one, tmp_path) for one in records]))
    assert told.row["follow chords (chord_iou)"].startswith("this run of ar")
    assert "fm" not in told.row["follow chords (chord_iou)"]


@pytest.mark.parametrize(
    ("axis", "line"), [("control", "| AR, all | Tal et al. 2025, table 3 |"), ("inpainting", "| FM (ZS) |")]
)
def test_published_figures_stand_beside(axis: str, line: str) -> None:
    published = {"control": control_published, "inpainting": inpainting_published}[axis]
    assert line in published()


def kept(one: Record, folder: Path, **beside: object) -> Record:
    """``one`` with a second of noise as the clip of prompt ``p``, and artefacts beside it."""
    artefacts = {"audio/p": f"audio/{one.id}.wav"}
    write_audio(folder / artefacts["audio/p"], np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    for name, about in beside.items():
        artefacts[name] = f"{name}/{one.id}.json"
        write_json(folder / artefacts[name], {"p": about})
    return dataclasses.replace(one, artefacts=artefacts)


def test_chords_are_drawn_where_clips_and_chords_are_kept(tmp_path: Path) -> None:
    asked, other = [(0.0, 0.5, "C:maj"), (0.5, 1.0, "A:min")], [(0.0, 1.0, "N")]
    records = [kept(record("real", None, 0.9), tmp_path / "s", chords={"prompt": asked, "given": None, "heard": asked})]
    for scenario, given in (("all", asked), ("wrong", other)):
        about = {"prompt": asked, "given": given, "heard": other}
        records.append(kept(record("ar", scenario, 0.5), tmp_path / "s", chords=about))
    assert "(figures/lanes.png)" in text_of(CONTROL, tmp_path / "s", records)
    assert (tmp_path / "s" / "figures" / "lanes.png").stat().st_size > 5_000
    (tmp_path / "s" / records[0].artefacts["audio/p"]).unlink()  # deleted to save space: no figure, and no error
    assert "lanes" not in text_of(CONTROL, tmp_path / "s", records)


def test_chords_are_named_and_coloured_as_musicians_do() -> None:
    assert [chord_name(label) for label in ("C:maj", "A:min", "G:7", "Bb:min7", "N")] == ["C", "Am", "G7", "Bbm7", "–"]
    assert chord_colour("C:maj") != chord_colour("C:min")
    assert len({chord_colour(f"{root}:maj") for root in "CDEFGAB"}) == 7


def test_entropies_are_drawn_and_compared_on_the_same_prompts(tmp_path: Path) -> None:
    folder, records = tmp_path / "results" / "s", []
    rng = np.random.default_rng(0)
    clip_level = rng.normal(0, 1, (8, 1, 1))  # far greater than what the controls change, so that pairing must show
    for scenario, early in (("all", -0.1), ("none", 0.0)):
        entropy_BT2 = 5 + clip_level + rng.normal(0, 0.01, (8, 80, 2))
        entropy_BT2[:, :50] += early
        one, scores = record("ar", scenario, 0.5), per_clip(entropy_BT2)
        found = {name: metric(float(values.mean()), n=8) for name, values in scores.items()}
        artefacts = {"entropy": f"entropy/{one.id}.csv", "items": f"records/{one.id}.csv"}
        write_text(folder / artefacts["entropy"], curve_csv(entropy_BT2))
        rows = [
            ",".join(["item", *scores]),
            *(f"p{i}," + ",".join(str(v[i]) for v in scores.values()) for i in range(8)),
        ]
        write_text(folder / artefacts["items"], "\n".join(rows) + "\n")
        records.append(dataclasses.replace(one, artefacts=artefacts, metrics={**one.metrics, **found}))
    text = text_of(CONTROL, folder, records)
    assert "(figures/entropy.png)" in text
    assert "- ar, steps 1 to 50:" in text
    assert "-0.10 [-0.1" in text
    assert "**lower**." in text
    assert "**undecided**." in text
    assert "- Tal et al. 2025, App. I, Fig. 9, 100 prompts: conditioning lowers the entropy of AR" in text


def test_spans_are_marked(tmp_path: Path) -> None:
    records = [kept(record(name, None, 0.9), tmp_path / "s", spans=(0.25, 0.75)) for name in ("real", "splice")]
    arm = record("ar", "x", 0.9)
    del arm.cell["scenario"]  # this axis has none
    records.append(kept(arm, tmp_path / "s", spans=(0.25, 0.75)))
    text = text_of(INPAINTING, tmp_path / "s", records)
    assert "(figures/spans.png)" in text
    assert "[real](audio/" in text


def filled(system: str, kind: str, seam: float, version: int = 2) -> Record:
    """A record of inpainting with a seam distance, a distance of spans and one of whole clips by a judge."""
    one = record(system, "x" if kind == "paradigm" else None, 0.5)
    one.cell.pop("scenario")
    one.cell.update(axis="inpainting", version=version)
    found = {"seam": (seam, 0.05), "kad_musicnn": (1.0, 0.2), "kad_musicnn_span": (10 * seam, 0.2)}
    scores = {name: metric(v, low=v - w, high=v + w, n=N, better="lower") for name, (v, w) in found.items()}
    return dataclasses.replace(one, axis="inpainting", metrics=scores)


def test_verdicts_of_inpainting_rest_on_the_span(tmp_path: Path) -> None:
    systems = {"real": 0.0, "splice": 0.9, "silence": 1.0, "frozen": 1.0, "ar": 0.2, "fm": 0.6}
    kinds = {name: "paradigm" if name in ("ar", "fm") else "reference" for name in systems}
    records = [with_items(filled(name, kinds[name], seam), tmp_path) for name, seam in systems.items()]
    told = INPAINTING.describe(StudyRecords("s", tmp_path / "s", records))
    assert told.table.header == ["system", "kad_musicnn_span ↓ (no verdict)", "seam ↓"]  # not validated on this corpus
    assert [answer.question.partition("(")[2][:6] for answer in told.answers] == ["`seam`"]
    assert "ar" in told.answers[0].answer.partition("worse")[0]
    assert "fm" in told.answers[0].answer.partition("worse")[2]
    assert "`kad_musicnn_span` gives no verdict: not validated on this corpus" in "\n".join(told.notes)
    assert "Scores of whole clips (no verdict)" in "\n".join(told.details)
    old = [filled(name, kinds[name], seam, version=1) for name, seam in systems.items()]
    earlier = INPAINTING.describe(StudyRecords("s", tmp_path / "s", [with_items(one, tmp_path) for one in old]))
    assert not earlier.answers  # the seam of these records has another meaning
    assert "earlier seam score" in earlier.notes[0]


def test_a_seam_that_a_frozen_span_wins_decides_nothing(tmp_path: Path) -> None:
    systems = {"real": 0.3, "frozen": 0.1, "ar": 0.2, "fm": 0.6}
    kinds = {name: "paradigm" if name in ("ar", "fm") else "reference" for name in systems}
    records = [with_items(filled(name, kinds[name], seam), tmp_path) for name, seam in systems.items()]
    told = INPAINTING.describe(StudyRecords("s", tmp_path / "s", records))
    assert not told.answers
    assert "`seam` gives no verdict: frozen" in "\n".join(told.notes)
