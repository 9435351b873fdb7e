"""The chapter on frame rate: every arm and its ceilings at every rate, at one duration and at one length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .....common.lines import count
from ....analysis import published as papers
from ....analysis.comparability import too_short
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, bullets, folded, records_link
from ....report.method import sentence
from ....report.scores import ARROWS, clip_counts, failure, figure, spent
from ....report.summary import trained
from .figure import draw
from .rates import HELD, RateChange, RatePoint, arms, changes, metric, not_following, points, series

SHOWN = ("fad", "clap", "adherence")
CLAIMS = ("T2", "T3", "T5", "T6")
CAPTION = (
    "FAD of windows against frame rate, with 95% intervals. At one duration the sequence grows with the rate; at one "
    "length the clip shrinks. Grey: the codecs themselves at each rate, and real audio."
)


def describe(study: StudyRecords) -> StudyPage:
    """Scores by rate, verdicts between neighbours, and the figure of one study."""
    found, left_out = points(study.name, study.folder, study.records)
    runs = [record for point in found for record in point.table.runs]
    name, short, sheet = metric(found, "fad"), too_short(runs), table(found)
    moves = [] if short else changes(found, name)
    records = [record for point in found for row in point.table.rows for record in row.good]
    mark = fingerprint(draw, study.folder, records, [name, sheet.markdown()])
    path = drawn(study.folder / "figures" / "rates.png", mark, partial(draw, found, name))
    details = [folded(f"Every comparison by {name}", differences(moves).markdown())] if moves else []
    details += [published(), "## How it was run", bullets(basis(study, found))]
    rates = ", ".join(f"{hz:g}" for hz in sorted({point.hz for point in found}))
    head = {"audio": found[0].table.newest.config.data.corpus.name, "arms": str(len(arms(found)))}
    head |= {"updates": spent(runs), "seeds": str(len({run.seed for run in runs}))}
    told = [] if short else answers(found, name)
    head["FAD of windows"] = "too short to compare" if short else "; ".join(one.answer for one in told) or "–"
    about = f"{', '.join(arms(found)) or 'No arm'} at {rates} Hz, trained for {count(spent(runs) or 'no', 'update')}."
    notes = [sentence(short)] if short else [*verdict_lines(moves), *captions_not_followed(found)]
    return StudyPage(
        about, sheet, told,
        [*details, f"The {records_link(study.folder)} hold everything above."],
        head, (len(found), len(runs)), path, CAPTION, notes, left_out,
    )  # fmt: skip


CHAPTER = Chapter(
    "Frame rate",
    "How many latent frames per second suit which paradigm? How it is measured: [frame rate](docs/frame-rate.md).",
    describe,
)


def answers(found: Sequence[RatePoint], name: str) -> list[Answer]:
    """Each arm's scores by rate, at the shortest duration that several rates share."""
    lines = []
    for group in series(found, "duration")[:1]:
        scores = {arm: [point.score(arm, name).value for point in group] for arm in arms(group)}
        told = [f"{arm} {', '.join('–' if v is None else f'{v:#.3g}' for v in row)}" for arm, row in scores.items()]
        rates = ", ".join(f"{point.hz:g}" for point in group)
        answer = f"at {rates} Hz, clips of {group[0].seconds:g} s: {'; '.join(told)}"
        question = "Which frame rate sounds best? (FAD of windows, lower is better)"
        lines.append(Answer(question, answer, trained(group[0].table)))
    return lines


def table(found: Sequence[RatePoint]) -> Table:
    """A row per point and system; a metric's name keeps its evaluator, and ``_window`` where it compares everywhere."""
    windows = [name for family in SHOWN if (name := metric(found, family))]
    whole = [name.removesuffix("_window") for name in windows[:1]]
    better = {n: m.better for p in found for row in p.table.rows for r in row.good for n, m in r.metrics.items()}
    header = ["rate", "frames", "s", "system", "n", *(n + ARROWS[better.get(n, "neither")] for n in windows + whole)]
    body, italic = [], set()
    for point in found:
        for row in point.table.rows:
            place = [f"{point.hz:g} Hz", str(point.frames), f"{point.seconds:g}", row.system]
            if not row.good:
                body.append([*place, "", failure(row), *[""] * (len(windows + whole) - 1), ""])
                continue
            scores = [figure(point.score(row.system, name)) for name in windows + whole]
            body.append([*place, clip_counts(row), *scores, above(point, row.system, windows[0]) if windows else "–"])
            italic |= {len(body) - 1} if row.kind == "reference" else set()
    return Table([*header, f"{windows[0] if windows else 'score'} above the codec's"], body, italic=frozenset(italic))


def above(point: RatePoint, system: str, name: str) -> str:
    """How much worse an arm scores than its codec's own reconstruction of real audio at that rate."""
    row = point.arm(system)
    if row is None or row.kind == "reference":
        return ""
    value, ceiling = point.score(system, name).value, point.score(point.ceiling(system), name).value
    return "–" if value is None or ceiling is None else f"{value - ceiling:.2f}"


def verdict_lines(moves: Sequence[RateChange]) -> list[str]:
    """A line for each arm and for what is the same (duration, length, rate): which of two neighbours is better."""
    lines = []
    for arm, mode in dict.fromkeys((move.arm, move.mode) for move in moves):
        told = [_verdict(move) for move in moves if (move.arm, move.mode) == (arm, mode)]
        lines.append(f"{arm}, {HELD[mode]}: {'; '.join(told)}.")
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
        "arms have not learnt to follow captions yet; FAD compares the sound alone."
    ]


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
            [move.arm, HELD[move.mode], pair, estimate, f"{move.judgement.p_adjusted:.3f}", move.judgement.verdict]
        )
    return Table(["arm", "held", "difference", "estimate [95%]", "p (Holm)", "verdict of the first"], body)


def basis(study: StudyRecords, found: Sequence[RatePoint]) -> list[str]:
    """How the study was run: codecs, windows, training, command."""
    newest = found[0].table.newest
    codecs = {point.hz: point.table.newest.config.data.representation for point in found}
    named = ", ".join(f"`{codec.name}` ({codec.fingerprint[:8]})" for codec in codecs.values())
    training = next((r.training for p in found for a in arms(found) if (row := p.arm(a)) for r in row.good), None)
    lines = [
        f"Codecs: {named}.",
        f"Windows: {newest.cell['evaluation']['window']:g} s of every clip, the same seconds of real audio at every "
        f"point, evaluator `{newest.config.evaluation.evaluator.name}`. Scores of whole clips can be compared between "
        "points of one duration.",
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
