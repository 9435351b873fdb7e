"""The chapter on fidelity: what systems score, which differences are decided, what training cost, how clips sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .....common.lines import count
from ....analysis.agreement import judges_of
from ....analysis.comparability import too_short
from ....analysis.pooling import PairedDifference, Part, differences, metric_names, not_usable
from ....analysis.result_table import ResultTable, make_table
from ....analysis.validation import FOLDER, find_validation, read_validation
from ....metrics.catalogue import family
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.clips import listening
from ....report.markup import Table, bullets, folded, image, link, records_link, write_changed
from ....report.method import evaluators, facts, measured, ran, sentence
from ....report.summary import standing, trained, unbeaten
from ....report.tuned_arms import tuned_note, tuned_section
from ....report.words import ArmNames, arm_names
from .brief import brief
from .budgets import equal_terms
from .figures import write_figures
from .judges import NO_JUDGE, JudgesFindings, agreement, ask_judges, sounds_real, sounds_real_in_short
from .losses import losses
from .replication import replication
from .scores import comparison
from .tables import all_settings, by_setting, costs, tuning, verdicts

SOUNDS_REAL = "Which arms sound most like real audio? (kernel distance by every judge, lower is better)"
QUESTIONS = {
    "adherence": "Do clips have what the caption asks for? (adherence, higher is better)",
    "clap": "Do clips match their captions? (CLAP, higher is better)",
}
SHORT = {  # columns of the report's table
    "fidelity": "fidelity: no arm is better than",
    "adherence": "adherence: no arm is better than",
    "clap": "CLAP: no arm is better than",
}
GUIDE = """\
Rows in italics are not arms: ceilings (real audio, real audio through the codec), floors (real audio of another
caption, noise, silence) and two baselines that need no model: `retrieved`, the training clip that shares most
attributes with the caption, and `sine_chords`, sine waves that play the annotated chords with a drum loop cut from a
training clip. All are scored on the same prompts. Square brackets hold 95% intervals from the variance between prompts
and, with several seeds, between seeds. Bold marks the best estimate among the arms, whether or not the difference is
decided.

- `adherence`: share of what the caption asks for that the built-in attribute tagger finds in the clip.
- `clap`: similarity of clip and caption.
- `kad`, `fad`: kernel and Frechet distance between a judge's embeddings of the clips and of as many other real clips.
- `kl`: difference between a judge's tags of the clip and of the caption's real clip; 0: the same tags.
- `band_level`: difference of the level in octave bands between the clips and real clips, in dB.
- `s / clip`: seconds of sampling and decoding per clip, in batches, on the machine named below.

The suffix of a metric names the evaluator: {evaluators}. Judges were trained by others on other audio, or not at all.
The attribute tagger `builtin` is trained by this suite, on its own corpus and codec, to name what captions ask for; its
distances do not measure fidelity. Figures by these evaluators cannot be compared with published ones, which come from
other networks and other audio."""
PLACED = (
    "Where each arm stands between the nearest floor (shuffled captions, noise or silence) and real audio. Further "
    "right is better. Bars: 95% intervals. Dotted: real audio through the codec. Markers: baselines without a model. "
    "Faint: an arm that was trained against this judge."
)
TUNING = """The reward is `{reward}`. `reward`: its mean on the watched clips (the same captions and seeds in every
round, of the training split), before and after. `diversity`: mean distance of two of these clips for the evaluator;
tuning stops when it falls too far. `distance`: how far a clip moves from the same clip before tuning. `effective
clips`: the number of equally weighted clips that the first round's weights exp(tau reward) amount to. The column
`reward` of the scores is measured on the test prompts."""
PAIRED = """\
Paired on prompts and seeds. Intervals and p come from the variance between prompts and between seeds, with Student's t;
p is corrected by Holm's procedure over all comparisons of the study (α = .05). A difference inside the margin is never
better or worse."""
VALIDATED = (
    "The margins were fixed beforehand by the {validation}: for fidelity the effect of white noise 30 dB below real "
    "audio, for metrics that read captions that of exchanging 5% of the clips."
)
NO_VALIDATION = (
    "The metrics are not validated on this corpus (`bench validate-metrics`), so fidelity has no margin and gives no "
    "verdict; the margin of other metrics is 5% of the way from real audio to its nearest floor."
)
TAGGER = "Distances by the attribute tagger (not a measure of fidelity)"
TOLD_TAGGER = """\
The tagger is trained on the built-in corpus, with noise and with this suite's own codec, so it hardly notices either.
These distances are kept to compare with older records. They give no verdict."""
LOSSES = (
    "Training loss (lines) and validation loss (dashed), both over the first training loss (losses of different "
    "paradigms do not compare), and scores of the snapshots."
)
VALIDATION = (
    "Validation loss: the arm's own loss on held-out clips, with fixed noise and by the averaged weights; ± standard "
    "error over clips. `second half`: share of its whole improvement that the second half of the updates brought. A "
    "loss that hardly falls does not show that samples have stopped improving; a training loss that falls while the "
    "validation loss rises shows overfitting."
)
SPECTROGRAMS = "Log-frequency spectrograms of the prompts in this order, 70 dB range."
PAIRS = 8  # a longer list of pairs is counted


@dataclass(frozen=True)
class FidelityFindings:
    """What is computed from the records of one study.

    Attributes:
        names: the arms in words.
        judges: what the judges say together.
        figures: name -> file.
        settings: the table of each setting, with the values that set it apart.
        short: why the arms cannot be compared; empty where they can.
    """

    table: ResultTable
    differences: list[PairedDifference]
    names: ArmNames
    judges: JudgesFindings
    figures: Mapping[str, Path] = field(default_factory=dict)
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
    found = find(table, compared, write_figures(table), all_settings(study.name, study.folder, study.records), short)
    return StudyPage(
        measured(table), comparison(table, leaders=not short, compared=compared), answers(found), details(found),
        row(found), weight(found), found.figures.get("scores"), PLACED, notes(found), table.left_out,
        brief(table, compared, found.judges, [name for _, name in _asked(table)]),
    )  # fmt: skip


CHAPTER = Chapter(
    "Fidelity",
    "Do clips sound like real audio, and do they contain what the caption asks for? How it is measured: "
    "[metrics](docs/metrics.md), [judges](docs/evaluators.md), [method](docs/method.md).",
    describe,
)


def find(
    table: ResultTable,
    compared: list[PairedDifference],
    figures: Mapping[str, Path] | None = None,
    settings: Sequence[tuple[Mapping[str, Any], ResultTable]] = (),
    short: str = "",
) -> FidelityFindings:
    """What a table's comparisons say, with the words for it."""
    judges = ask_judges(table, compared)
    return FidelityFindings(table, compared, arm_names(table), judges, figures or {}, settings, short)


def answers(found: FidelityFindings) -> list[Answer]:
    """One for fidelity and one for each metric that reads captions; none where there is nothing to compare."""
    table, basis = found.table, trained(found.table)
    if found.short or len([row for row in table.arms if row.good]) < 2:
        return []
    told = [Answer(QUESTIONS[name], standing(table, found.differences, full), basis) for name, full in _asked(table)]
    if not found.judges.leads:
        return told
    judges = f"{basis}; judges {', '.join(judges_of(found.judges.leads))}"
    return [Answer(SOUNDS_REAL, sounds_real(table, found.differences, found.judges, found.names), judges), *told]


def notes(found: FidelityFindings) -> list[str]:
    """What stands below the answers: why there are none, and how far they reach."""
    if found.short:
        return [sentence(found.short)]
    return [*([] if found.judges.leads else [NO_JUDGE]), *found.names.note, *tuned_note(found.table)]


def row(found: FidelityFindings) -> dict[str, str]:
    """The study's line among all studies of fidelity: which arms no other arm is better than."""
    table = found.table
    head = facts(table)
    if found.short:
        return {**head, SHORT["fidelity"]: "too short to compare"}
    full = dict(_asked(table))
    told = {n: unbeaten(table, found.differences, full[n]) if n in full else "no verdict" for n in QUESTIONS}
    told = {"fidelity": sounds_real_in_short(table, found.judges, found.names), **told}
    return {**head, **{SHORT[name]: arms for name, arms in told.items()}}


def weight(found: FidelityFindings) -> tuple[float, ...]:
    """How much a study can say: judges, paradigms, whether it may judge these, seeds and updates of its arms."""
    table = found.table
    updates = [run.training.updates for run in table.runs if run.training]
    paradigms = len({row.paradigm for row in table.arms if row.good})
    return len(found.judges.valid), paradigms, not found.names.reasons, table.seeds, min(updates, default=0)


def details(found: FidelityFindings) -> list[str]:
    """What stands below the scores and the answers, as Markdown paragraphs."""
    table, home = found.table, found.table.folder
    parts = agreement(table, found.judges, found.names)
    parts += listening(table, found.figures.get("spectrograms"), SPECTROGRAMS)
    if found.differences:
        file = link("differences.csv", home / "differences.csv", home)
        parts += ["## Differences between systems", f"{PAIRED} {margins(table)}"]
        parts += [conclusion(found.differences, table, found.names)]
        parts += [f"Every comparison with its interval and p: {file}."]
    parts += [*replication(table), *_further(found)]
    if (tuned := tuning(table)).body:
        reward = table.newest.config.evaluation.reward
        told = TUNING.format(reward=reward.name if reward else "")
        parts += ["## Fine-tuning by reward", told, tuned.markdown()]
    if table.arms:
        parts += tuned_section(table)
        parts += ["## Training", costs(table).markdown()]
        if (held_out := losses(table)).body:
            parts += [VALIDATION, held_out.markdown()]
        parts.append(image(found.figures.get("learning"), home, LOSSES))
    parts += [] if found.short else equal_terms(table, found.differences, found.figures.get("budgets"))
    parts += ["## How it was run", ran(table)]
    parts.append(f"The {records_link(home)} hold everything above.")
    return [*parts, folded("How to read the tables", GUIDE.format(evaluators=evaluators(table)))]


def conclusion(found: Sequence[PairedDifference], table: ResultTable, names: ArmNames) -> str:
    """What the paired differences allow one to say, a line per metric."""
    arms = {row.system for row in table.arms}
    lines = []
    for metric in dict.fromkeys(d.metric for d in found):
        own = [d for d in found if d.metric == metric]
        between = [d for d in own if d.b in arms]
        said = [_between(between, names)] if between else []
        for floor in dict.fromkeys(d.b for d in own if d.b not in arms):
            against = [d for d in own if d.b == floor]
            kinds = dict.fromkeys(d.judgement.verdict for d in against)
            named = [f"{names.listed(d.a for d in against if d.judgement.verdict == kind)} {kind}" for kind in kinds]
            said.append(f"against `{floor}`: {', '.join(named)}")
        lines.append(f"`{metric}`: {'; '.join(said)}.")
    return bullets(lines)


def _between(pairs: Sequence[PairedDifference], names: ArmNames) -> str:
    """Which of two arms is better, which are the same, and what is undecided."""
    said = [_sentence(d, *(names[system] for system in d.ranked)) for d in pairs if d.ranked]
    same = [d for d in pairs if d.judgement.verdict == "same"]
    open_ = [d for d in pairs if d.judgement.verdict == "undecided"]
    if same:
        said.append(f"the same within {same[0].comparison.margin:.2g}: {_pairs(same, pairs)}")
    if open_:
        every = len(open_) == len(pairs)
        said.append("undecided between all arms" if every else f"undecided: {_pairs(open_, pairs)}")
    return "; ".join(said)


def _sentence(d: PairedDifference, winner: str, loser: str) -> str:
    size, p = abs(d.comparison.difference.estimate), d.judgement.p_adjusted
    return f"{winner} is better than {loser} by {size:.2g} (p {p:.2g})"


def _pairs(pairs: Sequence[PairedDifference], of: Sequence[PairedDifference]) -> str:
    if len(pairs) > PAIRS:
        return f"{len(pairs)} of {count(len(of), 'pair')}"
    return ", ".join(f"{d.a} and {d.b}" for d in pairs)


def _asked(table: ResultTable) -> list[tuple[str, str]]:
    """Family and full name of the metrics that answer questions about captions, in the questions' order."""
    names = [(family(name), name) for name in metric_names(table) if not not_usable(table, name)]
    return [(wanted, name) for wanted in QUESTIONS for found, name in names if found == wanted]


def margins(table: ResultTable) -> str:
    """What fixed the margins of the table's metrics, with a link to its page where there is one."""
    results, home = table.folder.parent, table.folder
    found = find_validation(table.newest, results)
    if found is None:
        return NO_VALIDATION
    files = (file for file in sorted((results / FOLDER).glob("*.json")) if read_validation(file) == found)
    page = next((page for file in files if (page := file.with_suffix(".md")).is_file()), None)
    named = "validation of the metrics on this corpus"
    return VALIDATED.format(validation=link(named, page, home) if page else named)


def _further(found: FidelityFindings) -> list[str]:
    """Metrics beside the main ones, and all settings where the study has several."""
    table, parts = found.table, []
    kinds: dict[Part, str] = {
        "further": "What else whole sets show, and how loud clips are:",
        "details": "Adherence by attribute, over the clips whose captions ask for it:",
    }
    for part, told in kinds.items():
        if metric_names(table, part):
            parts += [told, comparison(table, part, leaders=not found.short).markdown()]
    if metric_names(table, "tagger"):
        sheet = comparison(table, "tagger", leaders=False)
        parts.append(folded(TAGGER, f"{TOLD_TAGGER}\n\n{sheet.markdown()}"))
    if len(found.settings) > 1:
        parts += ["### By setting", "Every setting among the records, at the end of training:"]
        parts += [by_setting(found.settings).markdown()]
    return ["## Further scores", *parts] if parts else []
