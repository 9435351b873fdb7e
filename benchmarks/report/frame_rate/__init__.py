"""The chapter on frame rates: every arm and its ceilings at every rate, at one duration and at one length.

``rates`` reads the records as points and compares them, ``figure`` draws them, this module puts them into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report.chapter import Answer, Chapter, StudyRecords
    from benchmarks.report.frame_rate.rates import Change, Point
    from benchmarks.report.table import Table

TITLE = "Frame rate"
SHOWN = ("fad", "clap", "adherence")
CLAIMS = ("T2", "T3", "T5", "T6")
CAPTION = (
    "FAD of windows against frame rate, with 95% intervals: at one duration the sequence grows with the rate, at one "
    "length the clip shrinks. Grey: what the codecs themselves score at each rate, and real audio."
)


def chapter(studies: Sequence[StudyRecords], home: Path) -> Chapter:
    """Table, figure and verdicts of all studies of frame rates, published figures beside."""
    from benchmarks.report.chapter import Chapter
    from benchmarks.report.drawing import save
    from benchmarks.report.frame_rate.figure import draw
    from benchmarks.report.frame_rate.rates import changes, metric, points
    from benchmarks.report.markup import folded, image
    from common.files import write_text

    parts, summaries, short = [f"## {TITLE}", "How it is measured: `docs/frame-rate.md`."], {}, []
    for study in studies:
        found, left_out = points(study.name, study.folder, study.records)
        name = metric(found, "fad")
        sheet, moves = table(found), changes(found, name)
        write_text(study.folder / "table.csv", sheet.csv())
        said, drawn = "\n".join(filter(None, (words(moves), floor(found)))), draw(found, name)
        figures = {} if drawn is None else {"rates": save(drawn, study.folder / "figures" / "rates.png")}
        parts += [f"### {study.name}", basis(study, found, left_out), said, image(figures, "rates", home, CAPTION)]
        parts += [sheet.markdown(), folded(f"Differences by {name}", differences(moves).markdown()) if moves else ""]
        summaries[study.name] = "\n\n".join(part for part in (sheet.plain(), said) if part)
        short += answers(study.name, found, name)
    parts.append(published(studies[0].folder.parent))
    return Chapter(TITLE, parts, summaries, answers=short)


def answers(study: str, found: Sequence[Point], name: str) -> list[Answer]:
    """Of each arm the scores at one duration, by rate: a line of the report at a glance."""
    from benchmarks.report.chapter import Answer
    from benchmarks.report.frame_rate.rates import arms, series
    from benchmarks.report.glance import trained

    lines = []
    for points in series(found, "duration")[:1]:
        scores = {arm: [point.score(arm, name).value for point in points] for arm in arms(points)}
        told = [f"{arm} {', '.join('–' if v is None else f'{v:#.3g}' for v in row)}" for arm, row in scores.items()]
        rates = ", ".join(f"{point.hz:g}" for point in points)
        question = f"Which frame rate suits whom? (`{name}` at {rates} Hz, {points[0].seconds:g} s)"
        lines.append(Answer(question, "; ".join(told), study, trained(points[0].board)))
    return lines


def table(found: Sequence[Point]) -> Table:
    """A row per point and system; a metric's name keeps its evaluator, and ``_window`` where it compares everywhere."""
    from benchmarks.report.fidelity.tables import ARROWS, figure
    from benchmarks.report.frame_rate.rates import metric
    from benchmarks.report.table import Table

    windows = [name for family in SHOWN if (name := metric(found, family))]
    whole = [name.removesuffix("_window") for name in windows[:1]]
    better = {n: m.better for p in found for row in p.board.rows for r in row.good for n, m in r.metrics.items()}
    header = ["rate", "frames", "s", "system", "n", *(n + ARROWS[better.get(n, "neither")] for n in windows + whole)]
    body, italic = [], set()
    for point in found:
        for row in point.board.rows:
            place = [f"{point.hz:g} Hz", str(point.frames), f"{point.seconds:g}", row.system]
            if not row.good:
                failed = f"{row.records[0].status}: {row.records[0].reason}"
                body.append([*place, "", failed, *[""] * (len(windows + whole) - 1), ""])
                continue
            scores = [figure(point.score(row.system, name)) for name in windows + whole]
            n = max((m.n for m in row.good[0].metrics.values()), default=0)
            counts = f"{n}" if len(row.good) == 1 else f"{n} × {len(row.good)} seeds"
            body.append([*place, counts, *scores, above(point, row.system, windows[0]) if windows else "–"])
            italic |= {len(body) - 1} if row.kind == "reference" else set()
    return Table([*header, f"{windows[0] if windows else 'score'} above the codec's"], body, italic=frozenset(italic))


def above(point: Point, system: str, name: str) -> str:
    """How much worse an arm scores than its codec's own reconstruction of real audio at that rate."""
    row = point.arm(system)
    if row is None or row.kind == "reference":
        return ""
    value, ceiling = point.score(system, name).value, point.score(point.ceiling(system), name).value
    return "–" if value is None or ceiling is None else f"{value - ceiling:.2f}"


def words(moves: Sequence[Change]) -> str:
    """Of each arm and each thing held, neighbours and which of them is better."""
    from benchmarks.report.frame_rate.rates import HELD

    lines = []
    for arm, mode in dict.fromkeys((move.arm, move.mode) for move in moves):
        told = [said(move) for move in moves if (move.arm, move.mode) == (arm, mode)]
        lines.append(f"- {arm}, {HELD[mode]}: {'; '.join(told)}.")
    return "\n".join(lines)


def floor(found: Sequence[Point]) -> str:
    """Which arms have not learnt to follow captions, and where: there only the sound is compared."""
    from benchmarks.report.frame_rate.rates import metric, unheard

    name = metric(found, "clap")
    told = [
        f"{arm} at {'every point' if len(at) == len(found) else ', '.join(f'({point.label})' for point in at)}"
        for arm, at in unheard(found, name).items()
    ]
    if not told:
        return ""
    return (
        f"- At the floor: by `{name}` not told from real audio of another caption: {'; '.join(told)}. So short a "
        "training has not taught captions there; FAD compares the sound alone."
    )


def said(move: Change) -> str:
    """``25 Hz, 4 s better than 50 Hz, 4 s``."""
    kind = move.judgement.verdict
    a, b = f"({move.a.label})", f"({move.b.label})"
    if kind == "same":
        return f"{a} the same as {b} within {move.comparison.margin:.2g}"
    return f"{a} **{kind}** than {b}" if kind in ("better", "worse") else f"{a} against {b} undecided"


def differences(moves: Sequence[Change]) -> Table:
    """All neighbours with estimates and p-values."""
    from benchmarks.report.frame_rate.rates import HELD
    from benchmarks.report.table import Table

    body = []
    for move in moves:
        gap = move.comparison.difference
        estimate = f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        pair = f"({move.a.label}) − ({move.b.label})"
        body.append(
            [move.arm, HELD[move.mode], pair, estimate, f"{move.judgement.p_adjusted:.3f}", move.judgement.verdict]
        )
    return Table(["arm", "held", "difference", "estimate [95%]", "p (Holm)", "verdict of the first"], body)


def basis(study: StudyRecords, found: Sequence[Point], left_out: int) -> str:
    """What the figures rest on."""
    from benchmarks.report.frame_rate.rates import arms

    cell = found[0].board.rows[0].records[0].cell
    codecs = {f"{p.hz:g} Hz": p.board.rows[0].records[0].cell["data"]["representation"] for p in found}
    named = ", ".join(f"`{codec['name']}` ({codec['fingerprint'][:8]})" for codec in codecs.values())
    trained = next((r.training for p in found for a in arms(found) if (row := p.arm(a)) for r in row.good), None)
    updates = f" Every arm: {trained.updates:,} updates." if trained else ""
    others = f" {left_out} records of other settings are left out." if left_out else ""
    return (
        f"Codecs: {named}.{updates} Windows: {cell['evaluation']['window']:g} s of every clip, the same seconds of "
        f"real audio at every point, evaluator `{cell['evaluation']['evaluator']['name']}`; scores of whole clips "
        f"compare between points of one duration.{others} Command: `{study.records[-1].command}`."
    )


def published(results: Path) -> str:
    """The paper's figures and claims: other music, codecs and size, so for the order only."""
    from benchmarks.papers.published import NAMES, claims
    from benchmarks.papers.published import results as stated_results
    from benchmarks.report.markup import folded
    from benchmarks.report.table import Table

    values: dict[tuple[str, float, float], dict[str, str]] = {}
    for one in stated_results(results):
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
    stated = "\n".join(f"- {c.id}, {c.source}: {c.statement}." for c in claims(results) if c.id in CLAIMS)
    title = f"Published: {NAMES['tal2025']}, tables 2 and 7, figure 4"
    return folded(title, f"{sheet}\n\nWhat it concludes:\n\n{stated}")
