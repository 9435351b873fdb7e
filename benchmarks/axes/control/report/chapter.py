"""The chapter on control: scores with and without temporal controls, and whether each arm follows each control."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ....analysis.comparability import too_short
from ....analysis.metric_validity import margin
from ....analysis.pooling import compare_rows, not_usable, pooled
from ....analysis.records import Record
from ....analysis.result_table import ResultTable, make_table
from ....metrics.statistics import Comparison, Judgement, judge
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.clips import clips, listening
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, image, records_link
from ....report.method import facts, measured, ran, sentence
from ....report.scores import figure, score_table, stated_scores
from ....report.summary import trained
from ....report.words import ArmNames, arm_names
from .chord_timeline import chord_timeline
from .entropy import entropy, findings

FREE, ROWS = ("given",), ("scenario",)  # which controls a clip is given, by name and in the scenario's words
SHOWN = (
    "chord_iou", "drum_correlation", "beat_f1", "downbeat_f1", "melody_chroma", "pitch_accuracy", "kad", "clap",
)  # fmt: skip
CALLED_HERE = {"beat_f1": "downbeat_f1", "melody_similarity": "melody_chroma"}  # the paper's Beat F1 is of down-beats
FOLLOWED = (
    ("chords", "chord_iou"), ("melody", "melody_chroma"),
    ("drums", "drum_correlation"), ("drums", "downbeat_f1"), ("drums", "beat_f1"),
)  # fmt: skip
FOLLOWS = "Do clips follow the {control} given in time? (gain in {metric} over another clip's, higher is better)"
BASIS = (
    "With all controls against another clip's, paired on prompts and seeds, with Holm's correction over the list. A "
    "tempo in the caption gives the beats away, so the correlation with the drum hits and the down-beats are better "
    "tests of drums."
)
CHORDS = (
    "Chords of one prompt, below the chroma of the clip. Lanes: the request (the prompt's own chords), the "
    "chords given instead where controls are wrong, the chords heard in the prompt's own audio (reference) and in the "
    "output."
)
ENTROPY = (
    "Entropy of the first codebook's code at each sampling step, after guidance and temperature; mean over "
    "prompts, for all, none and wrong controls with 95% intervals."
)
Followed = Mapping[tuple[str, str, str], tuple[Comparison, Judgement]]  # by arm, control and metric


def describe(study: StudyRecords) -> StudyPage:
    """Scores, verdicts, clips and figures of one study."""
    table = make_table(study.name, study.folder, study.records, FREE, ROWS, order=in_order)
    short = too_short(table.runs)
    said = [sentence(short)] if short else []
    found = {} if short else followed(table)
    scores = score_table(table, SHOWN)
    details = [*figures(table, scores), *listening(table), published(), "## How it was run", ran(table)]
    details.append(f"The {records_link(table.folder)} hold everything above.")
    return StudyPage(
        measured(table), scores, answers(table, found), details, row(table, found, short),
        (len(table.labels), table.seeds),
        notes=said or [*verdicts(table, found), *doubts(table), *arm_names(table).note], left_out=table.left_out,
    )  # fmt: skip


CHAPTER = Chapter(
    "Control",
    "Does a clip follow chords, melody and drums that are given in time? How it is measured: "
    "[control](docs/control.md).",
    describe,
)


def in_order(record: Record) -> tuple[bool, str, int]:
    """Sort key of rows: references as they came; then arm by arm: all controls, single ones, none, wrong ones."""
    if record.kind != "paradigm":
        return False, "", 0
    return True, record.system, {"all": 0, "none": 2, "wrong": 3}.get(record.cell.get("scenario", ""), 1)


def followed(table: ResultTable) -> Followed:
    """What the metric of each control gains over the same arm with another clip's controls, paired.

    A metric that does not tell real audio from that of another caption is left out: it does not notice the control.
    """
    found, deciding = {}, [pair for pair in FOLLOWED if not not_usable(table, pair[1])]
    for arm in table.labels:
        right, wrong = (table.row(f"{arm}, {scenario}") for scenario in ("all", "wrong"))
        if right is None or wrong is None or not (right.good and wrong.good):
            continue
        for control, name in deciding:
            tested = _has(right.records[0], control) and name in right.good[0].metrics
            if tested and (compared := compare_rows(table, right, wrong, name, margin(table, name))) is not None:
                found[arm, control, name] = compared
    judged = judge({"/".join(key): compared for key, compared in found.items()}) if found else {}
    return {key: (compared, judged["/".join(key)]) for key, compared in found.items()}


def doubts(table: ResultTable) -> list[str]:
    """The metrics of controls that decide nothing here, and why."""
    held = {name for row in table.rows for record in row.good for name in record.metrics}
    reasons = {name: not_usable(table, name) for _, name in FOLLOWED if name in held}
    return [f"`{name}` decides nothing here: {why}." for name, why in reasons.items() if why]


def verdicts(table: ResultTable, found: Followed) -> list[str]:
    """A sentence for each arm and control: does the arm follow it?"""
    lines, names = [], arm_names(table)
    for (arm, control, name), (compared, judged) in found.items():
        says = "follows its" if judged.verdict == "better" else "**is not shown to follow its**"
        rows = (table.row(f"{arm}, {scenario}") for scenario in ("all", "wrong"))
        scores = " with all controls, ".join(figure(pooled(table, row, name)) for row in rows if row is not None)
        gain = compared.difference
        told = f"{gain.estimate:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}], p {judged.p_adjusted:.2g}"
        lines.append(f"{names[arm]} {says} {control}: {name} {scores} with another clip's: {told}.")
    return [BASIS, *lines] if lines else []


def answers(table: ResultTable, found: Followed) -> list[Answer]:
    """One for each control that was tested; not for beats, which follow from a tempo in the caption."""
    names = arm_names(table)
    asked = [(FOLLOWS.format(control=control, metric=name), name) for control, name in FOLLOWED if name != "beat_f1"]
    return [Answer(question, told, trained(table)) for question, name in asked if (told := _gains(found, name, names))]


def row(table: ResultTable, found: Followed, short: str) -> dict[str, str]:
    """The study's line among all studies of its axis."""
    head = facts(table)
    if short:
        return {**head, "result": "too short to compare"}
    told, names = {}, arm_names(table)
    for control, name in FOLLOWED:
        judged = {arm: one for (arm, _, metric), (_, one) in found.items() if metric == name}
        if judged:
            following = [arm for arm, one in judged.items() if one.verdict == "better"]
            told[f"follow {control} ({name})"] = f"{names.listed(following) or 'none'} (of {len(judged)})"
    return {**head, **told}


def figures(table: ResultTable, scores: Table) -> list[str]:
    """The figures of chords and of entropies with their captions, and what follows from the entropies."""
    records = [record for row in table.rows for record in row.good]
    files = [path for row in table.rows for path in clips(table.folder, row).values()]
    parts = []
    for name, draw, caption, read in (("lanes", chord_timeline, CHORDS, files), ("entropy", entropy, ENTROPY, [])):
        mark = fingerprint(draw, table.folder, records, [table.study, scores.markdown()], read)
        path = drawn(table.folder / "figures" / f"{name}.png", mark, partial(draw, table))
        parts += [image(path, table.folder, caption)] if path else []
        parts += [findings(table)] if path and draw is entropy else []
    return parts


def published() -> str:
    """What Tal et al. 2025 state of control."""
    return stated_scores("tal2025", "Table 3", ("control", "conditioning"), CALLED_HERE)


def _has(record: Record, control: str) -> bool:
    model = record.config.model
    return model is not None and any(spec["name"].startswith(control) for spec in model.controls)


def _gains(found: Followed, name: str, names: ArmNames) -> str:
    gains = {arm: pair for (arm, _, metric), pair in found.items() if metric == name}
    said: dict[str, list[str]] = {"yes": [], "not shown": []}
    for arm, (_, judged) in sorted(gains.items(), key=lambda pair: -pair[1][0].difference.estimate):
        side = "yes" if judged.verdict == "better" else "not shown"
        said[side].append(arm)
    size = {arm: f" ({compared.difference.estimate:+.2f})" for arm, (compared, _) in gains.items()}
    again = bool(said["yes"])
    told = {"yes": names.listed(said["yes"], size), "not shown": names.listed(said["not shown"], size, again=again)}
    return "; ".join(f"{side}: {text}" for side, text in told.items() if text)
