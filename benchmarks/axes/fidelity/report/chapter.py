"""The chapter on fidelity: what systems score, which differences are decided, what training cost, how clips sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .....common.lines import count
from ....analysis.comparability import too_short
from ....analysis.pooling import PairedDifference, Part, differences, metric_names, not_usable
from ....analysis.result_table import ResultTable, make_table
from ....metrics.catalogue import family
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.clips import listening
from ....report.markup import Table, bullets, folded, image, link, records_link, write_changed
from ....report.method import facts, measured, ran, sentence
from ....report.summary import standing, trained, unbeaten
from .figures import write_figures
from .tables import all_settings, by_setting, comparison, costs, tuning, verdicts

QUESTIONS = {
    "fad": "Do the clips, taken together, sound like real ones? (FAD, lower is better)",
    "kl": "Do clips contain what the caption's real clip contains? (KL, lower is better)",
    "clap": "Do clips match their captions? (CLAP, higher is better)",
    "adherence": "Do clips have what the caption asks for? (adherence, higher is better)",
}
SHORT = {"fad": "FAD", "kl": "KL", "clap": "CLAP", "adherence": "adherence"}
GUIDE = """\
Rows in italics are not arms: ceilings (real audio, real audio through the codec) and floors (real audio of another
caption, noise, silence), scored on the same prompts. Brackets hold 95% bootstrap intervals, drawn over prompts and,
with several seeds, over seeds. Bold marks the best estimate among the arms, whether or not the difference is decided.

- `adherence`: share of what the caption asks for that the evaluator hears in the clip.
- `fad`, `kad`: Frechet and kernel distance between the clips and as many other real clips.
- `kl`: what the evaluator hears in the clip against what it hears in the caption's real clip; 0 for real audio.
- `clap`: similarity of clip and caption.
- `s / clip`: seconds of sampling and decoding per clip, in batches, on the machine named below.

The suffix of a metric names the evaluator: {evaluator}. Scores of the built-in evaluator (`fad_builtin` and so on)
cannot be compared with published figures, which come from other networks and other audio."""
PLACED = (
    "Where each arm stands between the nearest floor (shuffled captions, noise or silence) and real audio. Further "
    "right is better. Bars: 95% intervals. Dotted: real audio through the codec."
)
TUNING = """The reward is `{reward}`. `reward`: its mean on the watched clips (the same captions and seeds in every
round, of the training split), before and after. `diversity`: mean distance of two of these clips for the evaluator;
tuning stops when it falls too far. `distance`: how far a clip moves from the same clip before tuning. `effective
clips`: the number of equally weighted clips that the first round's weights exp(tau reward) amount to. The column
`reward` of the scores is measured on the test prompts."""
PAIRED = """\
Paired on prompts and seeds, with Holm's correction over all comparisons of the study (α = .05). Two arms count as the
same where the whole interval lies within 5% of the distance from real audio to its nearest floor."""
LOSSES = "Training loss over its first value (losses of different paradigms do not compare) and adherence."
SPECTROGRAMS = "Log-frequency spectrograms of the prompts in this order, 70 dB range."
PAIRS = 8  # a longer list of pairs is counted


@dataclass(frozen=True)
class FidelityFindings:
    """What is computed from the records of one study.

    Attributes:
        figures: name -> file.
        settings: the table of each setting, with the values that set it apart.
        short: why the arms cannot be compared; empty where they can.
    """

    table: ResultTable
    differences: list[PairedDifference]
    figures: Mapping[str, Path]
    settings: Sequence[tuple[Mapping[str, Any], ResultTable]] = ()
    short: str = ""


def describe(study: StudyRecords) -> StudyPage:
    """Scores, answers, clips and costs of one study."""
    table = make_table(study.name, study.folder, study.records)
    if not table.rows:
        return StudyPage("No arm of this study has been measured at the end of its training.", Table(["system"], []))
    short = too_short(table.runs)
    compared = [] if short else differences(table)
    if not short:
        write_changed(table.folder / "differences.csv", verdicts(compared).csv())
    figures = write_figures(table)
    found = FidelityFindings(table, compared, figures, all_settings(study.name, study.folder, study.records), short)
    return StudyPage(
        measured(table), comparison(table, leaders=not short), answers(found), details(found), row(found),
        weight(table), figures.get("scores"), PLACED, [sentence(short)] if short else [],
        table.left_out,
    )  # fmt: skip


CHAPTER = Chapter(
    "Fidelity",
    "Do clips sound like real audio, and do they contain what the caption asks for? How it is measured: "
    "[metrics](docs/metrics.md), [method](docs/method.md).",
    describe,
)


def answers(found: FidelityFindings) -> list[Answer]:
    """One for each main metric that can be used here; none where there is nothing to compare."""
    table = found.table
    if found.short or len([row for row in table.arms if row.good]) < 2:
        return []
    basis = trained(table)
    return [Answer(QUESTIONS[name], standing(table, found.differences, full), basis) for name, full in _asked(table)]


def row(found: FidelityFindings) -> dict[str, str]:
    """The study's line among all studies of fidelity: which arms no other arm beats."""
    table = found.table
    head = facts(table)
    if found.short:
        return {**head, f"not beaten on {SHORT['fad']}": "too short to compare"}
    full = dict(_asked(table))
    told = {n: unbeaten(table, found.differences, full[n]) if n in full else "not usable here" for n in SHORT}
    return {**head, **{f"not beaten on {SHORT[name]}": arms for name, arms in told.items()}}


def weight(table: ResultTable) -> tuple[float, ...]:
    """Paradigms, seeds and updates of a table's arms."""
    updates = [run.training.updates for run in table.runs if run.training]
    return len({row.paradigm for row in table.arms if row.good}), table.seeds, min(updates, default=0)


def details(found: FidelityFindings) -> list[str]:
    """What stands below the scores and the answers, as Markdown paragraphs."""
    table, home = found.table, found.table.folder
    parts = listening(table, found.figures.get("spectrograms"), SPECTROGRAMS)
    if found.differences:
        file = link("differences.csv", home / "differences.csv", home)
        parts += ["## Differences between systems", PAIRED, conclusion(found.differences)]
        parts += [f"Every comparison with its interval and p: {file}."]
    parts += _further(found)
    if (tuned := tuning(table)).body:
        reward = table.newest.config.evaluation.reward
        told = TUNING.format(reward=reward.name if reward else "")
        parts += ["## Fine-tuning by reward", told, tuned.markdown()]
    if table.arms:
        parts += ["## Training", costs(table).markdown(), image(found.figures.get("learning"), home, LOSSES)]
    parts += ["## How it was run", ran(table)]
    parts.append(f"The {records_link(home)} hold everything above.")
    evaluator = table.newest.config.evaluation.evaluator
    guide = GUIDE.format(evaluator=f"`{evaluator.name}` ({evaluator.identity[:8]})")
    return [*parts, folded("How to read the tables", guide)]


def conclusion(found: Sequence[PairedDifference]) -> str:
    """What the paired differences allow one to say, a line per metric."""
    lines = []
    for metric in dict.fromkeys(d.metric for d in found):
        own = [d for d in found if d.metric == metric]
        between = [d for d in own if d.b != "shuffled_captions"]
        decided = [_sentence(d, *d.ranked) for d in between if d.ranked]
        same = [f"{d.a} and {d.b}" for d in between if d.judgement.verdict == "same"]
        open_ = [f"{d.a} and {d.b}" for d in between if d.judgement.verdict == "undecided"]
        said = [", ".join(decided)] if decided else []
        if same:
            said.append(f"the same within {own[0].comparison.margin:.2g}: {_pairs(same, between)}")
        if open_:
            every = len(open_) == len(between)
            said.append("no pair of arms is decided" if every else f"undecided: {_pairs(open_, between)}")
        floors = [d for d in own if d.b == "shuffled_captions"]
        if floors:
            kinds = dict.fromkeys(d.judgement.verdict for d in floors)
            named = [f"{', '.join(d.a for d in floors if d.judgement.verdict == kind)} {kind}" for kind in kinds]
            said.append(f"against shuffled captions: {', '.join(named)}")
        lines.append(f"`{metric}`: {'; '.join(said)}.")
    return bullets(lines)


def _asked(table: ResultTable) -> list[tuple[str, str]]:
    """Family and full name of the metrics that answer questions, in the questions' order."""
    names = [(family(name), name) for name in metric_names(table) if not not_usable(table, name)]
    return [(wanted, name) for wanted in QUESTIONS for found, name in names if found == wanted]


def _further(found: FidelityFindings) -> list[str]:
    """Metrics beside the main ones, and all settings where the study has several."""
    table, parts = found.table, []
    kinds: dict[Part, str] = {
        "further": "What whole sets show, against as many real clips:",
        "details": "Adherence by attribute, over the clips whose captions ask for it:",
    }
    for part, told in kinds.items():
        if metric_names(table, part):
            parts += [told, comparison(table, part, leaders=not found.short).markdown()]
    if len(found.settings) > 1:
        parts += ["### By setting", "Every setting among the records, at the end of training:"]
        parts += [by_setting(found.settings).markdown()]
    return ["## Further scores", *parts] if parts else []


def _pairs(pairs: Sequence[str], of: Sequence[PairedDifference]) -> str:
    return ", ".join(pairs) if len(pairs) <= PAIRS else f"{len(pairs)} of {count(len(of), 'pair')}"


def _sentence(d: PairedDifference, winner: str, loser: str) -> str:
    return f"{winner} beats {loser} by {abs(d.comparison.difference.estimate):.2g} (p {d.judgement.p_adjusted:.2g})"
