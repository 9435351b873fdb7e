"""The page on fidelity with judges: columns, marks, agreement, and words that claim no more than was measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from judged_toys import ARMS, SYSTEMS, N, judged_table, save_judged_study, save_validation

from paradigm_bench.benchmarks.analysis.agreement import PairOfArms, lead_metrics, rank_correlations
from paradigm_bench.benchmarks.analysis.pooling import differences
from paradigm_bench.benchmarks.axes.fidelity.report.chapter import FidelityFindings, answers, find
from paradigm_bench.benchmarks.axes.fidelity.report.judges import verdict_lines
from paradigm_bench.benchmarks.axes.fidelity.report.scores import comparison
from paradigm_bench.benchmarks.report import write_report, write_study
from paradigm_bench.corpora.audio import write_audio

TUNED = {**ARMS, "fm-tuned": (0.95, 0.72, 0.9)}
FAITHFUL = "Which arms sound most like real audio? (kernel distance by every judge, lower is better)"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies that differ in one thing each: ``s`` has three seeds and has stopped improving."""
    folder = tmp_path_factory.mktemp("judged") / "results"
    save_judged_study(folder / "s", TUNED, trained_on={"fm-tuned": ("musicnn",)})
    save_judged_study(folder / "one", seeds=(0,))
    save_judged_study(folder / "growing", growth=0.1)
    save_judged_study(folder / "blind", snapshots=False)
    save_judged_study(folder / "opposed", {"fm": (0.7, 0.4, 0.8), "ar": (0.4, 0.7, 0.8)})
    save_validation(folder, loud=("kad_logmel",))
    return folder


def found_in(results: Path, study: str = "s") -> FidelityFindings:
    table = judged_table(results / study)
    return find(table, differences(table))


def page(results: Path, study: str = "s") -> str:
    write_study(results, study)
    return (results / study / "README.md").read_text()


def cell(results: Path, system: str, name: str, study: str = "s") -> str:
    table = judged_table(results / study)
    sheet = comparison(table, compared=differences(table))
    (column,) = (i for i, text in enumerate(sheet.header) if text.split()[0] == name)
    return next(row[column] for row in sheet.body if row[0] == system)


def test_columns_are_captions_then_each_judge_and_the_tagger_stands_apart(results: Path) -> None:
    header = [text.split()[0] for text in comparison(judged_table(results / "s")).header]
    assert header == [
        "system", "n", "adherence_builtin", "clap_builtin", "kad_musicnn", "fad_musicnn", "kl_musicnn", "kad_logmel",
        "fad_logmel", "s",
    ]  # fmt: skip
    text = page(results)
    folded = text[text.index("<summary>Distances by the attribute tagger (not a measure of fidelity)") :]
    assert "| system | n | fad_builtin ↓ | kad_builtin ↓ |" in folded[: folded.index("</details>")].replace(
        "kad_builtin ↓ | fad_builtin ↓", "fad_builtin ↓ | kad_builtin ↓"
    )
    assert "built-in attribute tagger" in text


def test_the_bias_of_the_frechet_distance_is_shown(results: Path) -> None:
    sheet = comparison(judged_table(results / "s"))
    (note,) = (note for note in sheet.notes if "has a bias" in note)
    assert re.search(rf"19\.7 \[.*\] by `fad_musicnn`, 20\.3 \[.*\] by `fad_logmel` at n = {N}", note)
    assert "fad_musicnn ↓ (no verdict)" in sheet.header  # 40 clips are too few for it
    assert any("`fad_musicnn` gives no verdict here: fad of 40 clips" in note for note in sheet.notes)


def test_arms_that_beat_no_baseline_are_marked_in_their_cells(results: Path) -> None:
    assert cell(results, "ar", "kad_musicnn").endswith("] †")  # worse than the retrieved clip, better than the sines
    assert cell(results, "ar", "adherence_builtin").endswith("] †")
    assert cell(results, "fm", "adherence_builtin").endswith("]")
    text = page(results)
    assert "† not better than `retrieved`" in text
    assert "‡ not better than" not in text
    weak = results.parent / "weak" / "s"
    save_judged_study(weak, {"fm": (0.2, 0.2, 0.5), "ar": (0.7, 0.7, 0.5)})
    save_validation(weak.parent)
    assert cell(weak.parent, "fm", "kad_logmel").endswith("] †‡")
    assert cell(weak.parent, "retrieved", "kad_logmel").endswith("]")  # references carry no marks
    assert "‡ not better than `sine_chords`" in page(weak.parent)


def test_a_judge_that_an_arm_was_trained_against_gives_no_verdict_on_it(results: Path) -> None:
    assert re.fullmatch(r"\(2\.07 \[.*\]\)", cell(results, "fm-tuned", "kad_musicnn"))
    assert not cell(results, "fm-tuned", "kad_logmel").startswith("(")
    assert "the arm was trained or tuned against this evaluator" in page(results)
    sheet = comparison(judged_table(results / "s"))
    bold = {(sheet.body[i][0], sheet.header[j].split()[0]) for i, j in sheet.leading}
    assert ("fm", "kad_musicnn") in bold  # the best of those that may be compared
    assert ("fm-tuned", "kad_logmel") in bold
    found = found_in(results)
    assert not [d for d in found.differences if d.metric == "kad_musicnn" and "fm-tuned" in (d.a, d.b)]
    (pair,) = (p for p in found.judges.pairs if {p.a, p.b} == {"fm", "fm-tuned"})
    assert (pair.agreement, list(pair.verdicts)) == ("single", ["kad_logmel"])


def test_a_metric_that_does_not_order_degradations_gives_no_verdict(results: Path, tmp_path: Path) -> None:
    save_judged_study(tmp_path / "s")
    save_validation(tmp_path, broken=("kad_logmel",))
    sheet = comparison(judged_table(tmp_path / "s"))
    assert "kad_logmel ↓ (no verdict)" in sheet.header
    assert any(note.startswith("`kad_logmel` gives no verdict here: does not order") for note in sheet.notes)
    answer = answers(found_in(tmp_path))[0]
    assert answer.answer.startswith("by one judge alone, `kad_musicnn`: ")
    assert "nothing to share" in page(tmp_path)


def test_without_a_validation_no_judge_decides(tmp_path: Path) -> None:
    save_judged_study(tmp_path / "s")
    answer = answers(found_in(tmp_path))[0]
    assert answer.answer.startswith("no judge gives a verdict here: `kad_musicnn` (not validated on this corpus")
    assert "The metrics are not validated on this corpus (`bench validate-metrics`)" in page(tmp_path)


def test_a_metric_that_moves_with_loudness_says_so(results: Path) -> None:
    assert "`kad_logmel`: also changes where clips differ in loudness alone." in page(results)


def test_loudness_and_peak_stand_in_the_further_scores(results: Path) -> None:
    text = page(results)
    further = text[text.index("## Further scores") :]
    assert "| system | n | loudness_lufs | peak |" in further


def test_the_answer_rests_on_verdicts_that_all_judges_share(results: Path) -> None:
    found = found_in(results)
    kinds = {(pair.a, pair.b): pair.agreement for pair in found.judges.pairs}
    assert kinds["ar", "fm"] == "shared"
    assert kinds["ar", "mar"] == "contradicted"  # closer by musicnn, further by logmel
    first = answers(found)[0]
    assert first.question == FAITHFUL
    assert first.answer == (
        "no arm is better than fm; worse than fm: mar, ar; the judges contradict each other on 1 pair; "
        "no shared verdict on fm-tuned"
    )
    assert first.basis == "800 updates, 3 seeds, 40 prompts; judges musicnn, logmel"
    text = page(results)
    assert "Contradicted: ar and mar (`kad_musicnn`: mar better; `kad_logmel`: ar better)." in text
    assert "Judged by one judge alone, since an arm was trained against another: " in text


def test_judges_that_share_no_verdict_disagree_openly(results: Path) -> None:
    (first, *_) = answers(found_in(results, "opposed"))
    assert first.answer.startswith("the judges disagree, no verdict is shared: `kad_musicnn`: no arm is better than fm")
    assert "`kad_logmel`: no arm is better than ar" in first.answer


def test_judges_of_which_each_pair_has_one_alone_do_not_disagree(tmp_path: Path) -> None:
    declared = {"fm": ("musicnn",)}
    save_judged_study(tmp_path / "s", {"fm": (0.7, 0.7, 0.8), "ar": (0.4, 0.4, 0.8)}, trained_on=declared)
    save_validation(tmp_path)
    (first, *_) = answers(found_in(tmp_path))
    assert first.answer.startswith("no pair of arms has two judges that may judge it: `kad_musicnn`: not compared")
    assert "`kad_logmel`: no arm is better than fm" in first.answer
    assert "disagree" not in first.answer


def test_rank_correlations_equal_those_counted_by_hand(results: Path) -> None:
    """musicnn: fm, mar, ar; logmel: fm, ar, mar. One pair of three is swapped: tau 1/3, rho 1 - 6 * 2 / 24."""
    table = judged_table(results / "blind")
    names = lead_metrics(table)
    assert names == ["kad_musicnn", "kad_logmel"]
    (arms,) = rank_correlations(table, names, table.arms)
    assert (arms.n, arms.kendall, arms.spearman) == (3, pytest.approx(1 / 3), pytest.approx(0.5))
    (every,) = rank_correlations(table, names, table.rows)
    assert every.n == len(SYSTEMS) + 3
    assert every.spearman > 0.9
    assert not rank_correlations(table, names, table.arms[:2])  # two systems have no order worth a number


def test_higher_and_lower_metrics_are_correlated_by_what_is_better(results: Path) -> None:
    table = judged_table(results / "blind")
    levels = {"ar": 0.65, "fm": 0.85}
    rows = [row for row in table.rows if row.system in ("real", "retrieved", "sine_chords")]
    (one,) = rank_correlations(table, ["kad_musicnn", "adherence_builtin"], rows)
    assert (one.spearman, one.kendall) == (1.0, 1.0)
    assert levels["fm"] > levels["ar"]


def test_kinds_of_agreement() -> None:
    def kind(**verdicts: str) -> str:
        return PairOfArms("a", "b", verdicts).agreement  # type: ignore[arg-type]

    assert kind(x="better", y="better") == kind(x="same", y="same") == "shared"
    assert kind(x="better", y="worse") == kind(x="better", y="worse", z="same") == "contradicted"
    assert kind(x="better") == "single"
    assert kind(x="better", y="undecided") == kind(x="better", y="same") == kind(x="undecided", y="undecided") == "open"
    assert PairOfArms("a", "b", {"x": "worse", "y": "worse"}).ranked == ("b", "a")
    assert PairOfArms("a", "b", {"x": "worse"}).ranked is None


def test_with_one_seed_sentences_are_about_this_run(results: Path) -> None:
    text = page(results, "one")
    assert "**no arm is better than this run of fm; worse than fm: mar, ar" in text
    assert "this run of fm is better than this run of ar by" in text
    assert re.search(r"against `sine_chords`: this run of (ar|fm|mar)\b", text)
    assert "All arms: 1 training seed, and at least 3 are needed." in text
    assert "this run of" not in page(results).split("<details><summary>How to read")[0]


def test_arms_that_still_improve_are_named_with_their_updates(results: Path) -> None:
    text = page(results, "growing")
    assert "**no arm is better than fm after 800 updates; worse than fm: mar, ar" in text
    assert "fm after 800 updates is better than ar after 800 updates by" in text
    assert text.count("kad_musicnn still changes, by") >= 1
    assert text.count("not about paradigms") == 1  # the reasons are given once
    assert "All arms: no snapshot shows that learning has stopped." in page(results, "blind")
    assert "not about paradigms" not in page(results)


def test_the_report_uses_the_same_words(results: Path) -> None:
    write_report(results, [], results / "REPORT.md")
    text = (results / "REPORT.md").read_text()
    assert "no arm is better than fm; worse than fm: mar, ar; the judges contradict each other on 1 pair" in text
    assert (
        "[s](s/README.md): 800 updates, 3 seeds, 40 prompts; judges musicnn, logmel" in text
    )  # it may judge paradigms
    assert re.search(r"\[one\]\(one/README.md\) .* \| this run of fm \|", text)
    assert re.search(r"\[growing\]\(growing/README.md\) .* \| fm after 800 updates \|", text)
    assert "Judges: fidelity is scored by logmel, musicnn" in text
    assert "bootstrap" not in text


def test_nothing_is_shared_with_one_judge(results: Path) -> None:
    found = found_in(results)
    alone = type(found.judges)(found.judges.leads, ["kad_musicnn"], found.judges.pairs)
    assert verdict_lines(alone, found.names) == [
        "Of 2 judges only `kad_musicnn` gives verdicts here, so there is nothing to share."
    ]


def test_a_page_needs_no_torch(results: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from paradigm_bench.benchmarks.report import write_study;"
        f"write_study(Path({str(results)!r}), 's'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_replication_stands_in_a_table_of_its_own_with_the_closest_pairs(tmp_path: Path) -> None:
    import dataclasses

    from paradigm_bench.benchmarks.analysis.records import load_records, read_items, save_record
    from paradigm_bench.benchmarks.metrics.metric import metric

    folder = tmp_path / "s"
    save_judged_study(folder, seeds=(0,), snapshots=False)
    (folder / "replication").mkdir()
    write_audio(folder / "replication" / "a.flac", np.zeros(800, np.float32), 8000)
    for record in load_records(folder)[0]:
        own = {"replication_musicnn": metric(0.5, n=N), "replication_share_musicnn": metric(0.25, n=N)}
        pair = {"item": "p0", "training": "train/7", "start": 2.0, "distance": 0.12, "shift_seconds": 0.0}
        scoring = {"replication": {"held_out": {"musicnn": {"limit": 0.31}}, "closest": [pair]}}
        held = {"replication/1/made": "replication/a.flac", "replication/1/training": "replication/gone.flac"}
        new = dataclasses.replace(
            record, metrics={**record.metrics, **own}, environment={"scoring": scoring}, artefacts=held
        )
        save_record(folder, new, read_items(folder, record))
    write_study(tmp_path, "s")
    text = (folder / "README.md").read_text()
    assert "| system | musicnn | musicnn, too near |" in text
    assert "| fm | 0.50 | 25.0% |" in text
    assert "Too near: less than 0.31 (musicnn)." in text
    told = "Closest pairs of fm: `p0` and training clip `train/7` from 2 s, distance 0.12"
    assert f"{told} ([fm, made](replication/a.flac))." in text
    assert "replication_" not in text.split("## Further scores")[0].split("## Scores")[1].split("## In short")[0]
