"""The words of the chapter on latency: how to read it, what was held still, what came out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.latency import units
from benchmarks.report.latency.crossover import sentences
from benchmarks.report.latency.curves import claims
from benchmarks.report.latency.limits import roof
from benchmarks.report.latency.points import Group, Point, Sheet
from benchmarks.report.latency.published import Stated
from benchmarks.report.latency.tables import in_short, measurements, peers
from benchmarks.report.markup import folded, image, link

TITLE = "Latency and throughput"
README_BATCHES = (1, 8, 64, 256)
LONG = 16  # lines; a longer table opens on a click, with a short one above
SHORT = "Latency of one batch, in brackets the share of the bound that is reached"
GUIDE = """\
**How to read the tables.** Random weights of the real shape, random text embeddings: speed does not depend on what was
learned. `latency`: median wall seconds of one batch, in brackets its 95% interval; `clips / s`: batch over latency;
`real-time factor`: seconds of computing per second of audio, of the whole batch (below 1: faster than it plays);
`first audio`: until the first chunk of a streaming paradigm; `bound`: the least time in which this device could move
the bytes and do the operations that the paradigm cannot avoid, from its real configuration and from the device's copy
bandwidth and matrix rate measured in the same run; `share of bound`: bound over latency, so 100% cannot be improved on
and what is missing belongs to the implementation, not to the paradigm; `evaluations`: passes through backbone and head,
one after the other. Rows in italics are peers: another library at the same shape. What did not run says why. The
method: {method}."""
CLOCKED = {
    "none": "the sampler alone",
    "encodec": "sampler and EnCodec decoder",
    "builtin": "sampler and built-in decoder",
}
COMMON = ("batch", "seconds", "frame_rate_hz", "layers", "text_tokens", "text", "guidance")
KNOB_TITLES = {
    "seconds": "duration", "layers": "depth", "frame_rate_hz": "frame rate", "text_tokens": "length of the text",
}  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """A place with its figures (name -> file), and those of each of its sheets."""

    group: Group
    figures: Mapping[str, Path]
    sheets: Sequence[Mapping[str, Path]]


def chapter_parts(found: Sequence[Findings], published: Sequence[Stated], home: Path) -> list[str]:
    """The whole chapter."""
    parts = [f"## {TITLE}", GUIDE.format(method="docs/latency.md")]
    for one in found:
        parts += [f"### {one.group.place.title}", machine(one.group), *_place_figures(one, home)]
        for sheet, figures in zip(one.group.sheets, one.sheets):
            parts += _sheet_parts(sheet, figures, published, home)
    return parts


def summary(sheet: Sheet, published: Sequence[Stated]) -> str:
    """For the terminal: where, the main figures, the crossover."""
    parts = [f"{sheet.study}: {sheet.place.title}\n{held(sheet)}\n{SHORT}:", in_short(sheet).plain()]
    return "\n\n".join([*parts, *sentences(sheet, published)])


def readme(found: Sequence[Findings], published: Sequence[Stated]) -> str:
    """The broadest sweep over batch, at the first place that has one; else the first place's broadest study."""
    places = [one.group.sheets for one in found]
    first = next((sheets for sheets in places if any("batch" in one.swept for one in sheets)), places[0])
    sheet = max(first, key=lambda one: ("batch" in one.swept, len({p.paradigm for p in one.points})))
    few = [point for point in sheet.points if point.knobs.get("batch") in README_BATCHES]
    shown = dataclasses.replace(sheet, points=few or sheet.points)
    parts = [f"Speed on {sheet.place.title}; {held(sheet)}. {SHORT}:", in_short(shown).markdown()]
    return "\n\n".join([*parts, "\n".join(f"- {said}" for said in sentences(sheet, published))]).rstrip()


def machine(group: Group) -> str:
    """Device rates, other load, versions."""
    lines, limits = [], roof(group)
    if limits:
        flops, bandwidth = limits
        rates = f"{units.rate(flops)}FLOP/s in matrix products, {units.rate(bandwidth)}B/s copied (read and written)"
        lines.append(f"The device, measured in the same runs (medians): {rates}.")
    newest = max(group.points, key=lambda point: point.record.created).record
    git, packages = newest.environment.get("git", {}), newest.environment.get("packages", {})
    revision = (git.get("revision") or "unknown")[:10] + " with uncommitted changes" * bool(git.get("dirty"))
    versions = f"Python {newest.environment.get('python')}, torch {packages.get('torch')}"
    lines.append(f"{versions}; code {revision}, {newest.created[:10]}.")
    return "\n".join(f"- {line}" for line in lines)


def settings(sheet: Sheet) -> str:
    """What was held still in all measurements of a sheet, and every arm's sampler."""
    samplers = {p.arm: _sampler(sheet, p) for p in sheet.ours}
    commands = dict.fromkeys(p.record.command for p in sheet.points if p.record.command)
    lines = [f"{held(sheet)}."]
    lines += ["Samplers: " + "; ".join(f"{arm} {text}" for arm, text in samplers.items() if text) + "."]
    lines += ["Command: " + ", ".join(f"`{command}`" for command in commands) + "."] if commands else []
    return "\n".join(f"- {line}" for line in lines)


def held(sheet: Sheet) -> str:
    """Settings that all measurements share, and what is inside the clock."""
    common = [text for name in COMMON if (text := _held(sheet, name))]
    decoders = dict.fromkeys(str(p.knobs.get("decoder")) for p in sheet.points)
    clock = "; ".join(CLOCKED.get(name, f"sampler and decoder {name}") for name in decoders)
    return ", ".join([*common, f"inside the clock: {clock} (text embedded before)"])


def _held(sheet: Sheet, name: str) -> str:
    """``10 s (500 frames)`` where all measurements share it; nothing where it was swept or arms differ."""
    values = {units.knob(p.knobs[name]): p for p in sheet.points if p.knobs.get(name) is not None}
    if len(values) != 1:
        return ""
    frames = sorted({int(p.record.cell["setting"]["frames"]) for p in sheet.points}) if name == "seconds" else []
    counted = f" ({' or '.join(map(str, frames))} frames)" if frames else ""
    return units.named(name, next(iter(values))) + counted


def _sampler(sheet: Sheet, point: Point) -> str:
    sampler = point.record.cell.get("sampler") or {}
    shared = ["guidance"] if _held(sheet, "guidance") else []
    told = [f"{key} {units.knob(value)}" for key, value in sampler.items() if key not in (*sheet.swept, *shared)]
    return ", ".join([*told, *(["compiled"] if point.knobs.get("compile") and "compile" not in sheet.swept else [])])


def _place_figures(one: Findings, home: Path) -> list[str]:
    place = one.group.place
    where = f"{place.title}; {', '.join(sheet.study for sheet in one.group.sheets)}."
    dots = "larger dots are larger batches"
    shares = f"Share of the bound: bars to the median of a system's measurements, {dots}. {where}"
    roofline = f"Roofline: operations per second reached against operations per byte that must move, {dots}. {where}"
    return [image(one.figures, "shares", home, shares), image(one.figures, "roofline", home, roofline)]


def _sheet_parts(sheet: Sheet, figures: Mapping[str, Path], published: Sequence[Stated], home: Path) -> list[str]:
    table, against = measurements(sheet), peers(sheet)
    parts = [f"#### {sheet.study}", settings(sheet)]
    parts += ["\n".join(f"- {said}" for said in sentences(sheet, published))]
    if len(table.body) > LONG:
        parts += [f"{SHORT}:", in_short(sheet).markdown()]
        parts += [folded(f"All {len(table.body)} measurements", table.markdown())]
    else:
        parts += [table.markdown()]
    if against is not None:
        says = "above 1: ours is faster; its interval takes the far ends of both"
        parts += [f"Ours against peers at the same settings (`peer / ours` {says}):", against.markdown()]
    parts += [image(figures, name, home, _caption(sheet, name, published)) for name in figures]
    csv, records = sheet.folder / "latency.csv", sheet.folder / "records"
    return [*parts, f"All figures as {link('CSV', csv, home)}; the {link('records', records, home)}."]


def _caption(sheet: Sheet, name: str, published: Sequence[Stated]) -> str:
    key = "Full lines: measured, dots: the bound" + (", dashes: peers." if any(p.peer for p in sheet.points) else ".")
    grey = " Grey: what a paper states, of its own hardware." if claims(sheet, published) else ""
    what = {
        "batch": f"Throughput and latency against batch. {key}{grey}",
        "heat": "Latency over decoding iterations and diffusion steps.",
    }.get(name, f"Latency against {KNOB_TITLES.get(name, name)}. {key}")
    return f"{what} {sheet.place.title}; {held(sheet)}."
