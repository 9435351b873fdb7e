"""The chapter on frame rate: every arm and its ceilings at every rate, at one duration and at one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from .....common.lines import count
from ....analysis import published as papers
from ....analysis.comparability import too_short
from ....analysis.metric_validity import is_tagger_distance
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, bullets, folded, records_link
from ....report.method import scored_by, sentence
from ....report.scores import ARROWS, clip_counts, failure, figure, size_note, spent
from ....report.summary import trained
from ....report.words import arm_names
from .figure import draw
from .rates import (
    HELD,
    RateChange,
    RatePoint,
    against,
    arms,
    changes,
    doubt,
    leads,
    metric,
    not_following,
    points,
    series,
)

SHOWN = ("clap", "adherence")  # beside the judges' distances
CLAIMS = ("T2", "T3", "T5a", "T5b", "T6")
CAPTION = (
    "Kernel distance of windows by each judge against frame rate, with 95% intervals. At one duration the sequence "
    "grows with the rate; at one length the clip shrinks. Grey: the codecs themselves at each rate, and real audio."
)
NO_JUDGE_CAPTION = "Adherence of windows against frame rate, with 95% intervals. Grey: the codecs, and real audio."
NO_JUDGE = (
    "Fidelity has no independent judge here: these records were measured before independent judges existed, so no rate "
    "is called better. Run the study again to have clips judged."
)
TAGGER = "Frechet distance by the attribute tagger (not a measure of fidelity)"
QUESTION = "Which frame rate sounds best? (kernel distance of windows by every judge, lower is better)"


def describe(study: StudyRecords) -> StudyPage:
    """Scores by rate, verdicts between neighbours, and the figure of one study."""
    found, left_out = points(study.name, study.folder, study.records)
    runs = [record for point in found for record in point.table.runs]
    names, short = leads(found), too_short(runs)
    doubts = {name: why for name in names if (why := doubt(found, name))}
    sheet = table(found, [*names, *_caption_metrics(found)], names)
    moves = [] if short else changes(found, [name for name in names if name not in doubts])
    shown = names or [name for name in (metric(found, "adherence"), metric(found, "clap")) if name][:1]
    records = [record for point in found for row in point.table.rows for record in row.good]
    mark = fingerprint(draw, study.folder, records, [*shown, sheet.markdown()])
    path = drawn(study.folder / "figures" / "rates.png", mark, partial(draw, found, shown))
    details = [folded("Every comparison between rates", differences(moves).markdown())] if moves else []
    if fad := _tagger(found):
        details.append(folded(TAGGER, table(found, [fad], [fad]).markdown()))
    details += [published(), "## How it was run", bullets(basis(study, found))]
    rates = ", ".join(f"{hz:g}" for hz in sorted({point.hz for point in found}))
    head = {"audio": found[0].table.newest.config.data.corpus.name, "arms": str(len(arms(found)))}
    head |= {"updates": spent(runs), "seeds": str(len({run.seed for run in runs}))}
    told = [] if short else answers(found, names)
    empty = "–" if names else "no independent judge"
    head["KAD of windows"] = "too short to compare" if short else "; ".join(one.answer for one in told) or empty
    about = f"{', '.join(arms(found)) or 'No arm'} at {rates} Hz, trained for {count(spent(runs) or 'no', 'update')}."
    notes = [sentence(short)] if short else [*_verdict_notes(found, names, doubts), *verdict_lines(moves, found)]
    notes += [*([] if short else captions_not_followed(found)), *size_note(found[0].table)]
    return StudyPage(
        about, sheet, told,
        [*details, f"The {records_link(study.folder)} hold everything above."],
        head, (len(names), len(found), len(runs)), path, CAPTION if names else NO_JUDGE_CAPTION, notes, left_out,
    )  # fmt: skip


CHAPTER = Chapter(
    "Frame rate",
    "How many latent frames per second suit which paradigm? How it is measured: [frame rate](docs/frame-rate.md).",
    describe,
)


def answers(found: Sequence[RatePoint], names: Sequence[str]) -> list[Answer]:
    """Each arm's scores by rate and judge, at the shortest duration that several rates share."""
    lines = []
    for group in series(found, "duration")[:1] if names else []:
        rates = ", ".join(f"{point.hz:g}" for point in group)
        called = arm_names(group[0].table)
        by_judge = []
        for name in names:
            scores = {arm: [point.score(arm, name).value for point in group] for arm in arms(group)}
            texts = {arm: ", ".join("–" if v is None else f"{v:#.3g}" for v in row) for arm, row in scores.items()}
            by_judge.append(f"`{name}`: {'; '.join(f'{called[arm]} {text}' for arm, text in texts.items())}")
        answer = f"at {rates} Hz, clips of {group[0].seconds:g} s: {'. '.join(by_judge)}"
        lines.append(Answer(QUESTION, answer, trained(group[0].table)))
    return lines


def table(found: Sequence[RatePoint], windows: Sequence[str], distances: Sequence[str]) -> Table:
    """A row per point and system.

    Args:
        windows: metrics of windows, which compare everywhere; they keep ``_window`` in their names.
        distances: those of them that also stand as what they exceed the codec's own by.
    """
    better = {n: m.better for p in found for row in p.table.rows for r in row.good for n, m in r.metrics.items()}
    header = ["rate", "frames", "s", "system", "n", *(n + ARROWS[better.get(n, "neither")] for n in windows)]
    header += [f"{name} above the codec's" for name in distances]
    body, italic = [], set()
    for point in found:
        for row in point.table.rows:
            place = [f"{point.hz:g} Hz", str(point.frames), f"{point.seconds:g}", row.system]
            if not row.good:
                body.append([*place, "", failure(row), *[""] * (len(header) - 6)])
                continue
            scores = [figure(point.score(row.system, name)) for name in windows]
            over = [above(point, row.system, name) for name in distances]
            body.append([*place, clip_counts(row), *scores, *over][: len(header)])
            italic |= {len(body) - 1} if row.kind == "reference" else set()
    return Table(header, body, italic=frozenset(italic))


def above(point: RatePoint, system: str, name: str) -> str:
    """How much worse an arm scores than its codec's own reconstruction of real audio at that rate."""
    row = point.arm(system)
    if row is None or row.kind == "reference":
        return ""
    value, ceiling = point.score(system, name).value, point.score(point.ceiling(system), name).value
    return "–" if value is None or ceiling is None else f"{value - ceiling:.2f}"


def verdict_lines(moves: Sequence[RateChange], found: Sequence[RatePoint]) -> list[str]:
    """A line for each judge, arm and what is the same (duration, length, rate): which of two neighbours is better."""
    called = arm_names(found[0].table)
    lines = []
    for name, arm, mode in dict.fromkeys((move.metric, move.arm, move.mode) for move in moves):
        told = [_verdict(move) for move in moves if (move.metric, move.arm, move.mode) == (name, arm, mode)]
        lines.append(f"`{name}`, {called[arm]}, {HELD[mode]}: {'; '.join(told)}.")
    return lines


def captions_not_followed(found: Sequence[RatePoint]) -> list[str]:
    """A note on the arms that have not learnt to follow captions, and at which points."""
    name = metric(found, "clap")
    told = [
        f"{arm} at {'every point' if len(at) == len(found) else ', '.join(f'({point.label})' for point in at)}"
        for arm, at in not_following(found, name).items()
    ]
    if not told:
        return []
    return [
        f"At the floor (`{name}` does not tell the clips from real audio of another caption): {'; '.join(told)}. These "
        "arms have not learnt to follow captions yet; the judges compare the sound alone."
    ]


def _caption_metrics(found: Sequence[RatePoint]) -> list[str]:
    return [name for family in SHOWN if (name := metric(found, family))]


def _tagger(found: Sequence[RatePoint]) -> str:
    """The tagger's Frechet distance of windows; empty where there is none."""
    name = metric(found, "fad")
    return name if name and is_tagger_distance(name) else ""


def _verdict_notes(found: Sequence[RatePoint], names: Sequence[str], doubts: Mapping[str, str]) -> list[str]:
    """Why there are no verdicts, or none by some judges, or none by a judge on some arms."""
    if not names:
        return [NO_JUDGE]
    lines = [f"`{name}` gives no verdict here: {why}." for name, why in doubts.items()]
    tuned = {name: held for name in names if name not in doubts and (held := against(found, name))}
    told = "gives no verdict on arms that were trained or tuned against this evaluator"
    return [*lines, *(f"`{name}` {told}: {', '.join(held)}." for name, held in tuned.items())]


def _verdict(move: RateChange) -> str:
    kind = move.judgement.verdict
    a, b = f"({move.a.label})", f"({move.b.label})"
    if kind == "same":
        return f"{a} the same as {b} within {move.comparison.margin:.2g}"
    return f"{a} **{kind}** than {b}" if kind in ("better", "worse") else f"{a} against {b} undecided"


def differences(moves: Sequence[RateChange]) -> Table:
    """All comparisons of neighbours with estimates and p-values."""
    body = []
    for move in moves:
        gap = move.comparison.difference
        estimate = f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        pair = f"({move.a.label}) − ({move.b.label})"
        body.append(
            [
                move.metric,
                move.arm,
                HELD[move.mode],
                pair,
                estimate,
                f"{move.judgement.p_adjusted:.3f}",
                move.judgement.verdict,
            ]
        )
    return Table(["metric", "arm", "held", "difference", "estimate [95%]", "p (Holm)", "verdict of the first"], body)


def basis(study: StudyRecords, found: Sequence[RatePoint]) -> list[str]:
    """How the study was run: codecs, windows, training, command."""
    newest = found[0].table.newest
    codecs = {point.hz: point.table.newest.config.data.representation for point in found}
    named = ", ".join(f"`{codec.name}` ({codec.fingerprint[:8]})" for codec in codecs.values())
    training = next((r.training for p in found for a in arms(found) if (row := p.arm(a)) for r in row.good), None)
    lines = [
        f"Codecs: {named}.",
        f"Windows: {newest.cell['evaluation']['window']:g} s of every clip, the same seconds of real audio at every "
        f"point, scored by {scored_by(newest.config.evaluation)}.",
    ]
    lines += [f"Every arm: {count(training.updates, 'update')}."] if training else []
    return [*lines, f"Command: `{study.records[-1].command}`."]


def published() -> str:
    """The paper's figures and claims: other music, codecs and size, so for the order only."""
    values: dict[tuple[str, float, float], dict[str, str]] = {}
    for one in papers.results():
        if one.paper == "tal2025" and one.table in ("Table 2", "Table 7") and one.metric in ("fad", "clap"):
            place = one.system, float(one.setting["frame_rate_hz"]), float(one.setting["duration_s"])
            values.setdefault(place, {}).setdefault(one.metric, one.value)
    body = [
        [system, f"{hz:g} Hz", f"{hz * seconds:g}", f"{seconds:g}", held.get("fad", "–"), held.get("clap", "–")]
        for (system, hz, seconds), held in sorted(values.items())
    ]
    if not body:
        return ""
    sheet = Table(["system", "rate", "frames", "s", "fad ↓", "clap ↑"], body).markdown()
    stated = "\n".join(f"- {c.id}, {c.source}: {c.statement}." for c in papers.claims() if c.id in CLAIMS)
    title = f"Published: {papers.NAMES['tal2025']}, tables 2 and 7, figure 4"
    return folded(title, f"{sheet}\n\nWhat it concludes:\n\n{stated}")
