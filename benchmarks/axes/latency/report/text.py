"""The words of a study of latency: how to read its tables, what was the same in all measurements, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .....common.lines import count
from ....report.markup import bullets, folded, image, records_of
from ....report.table import Table
from . import units
from .crossover import sentences
from .curves import claims
from .limits import roof
from .points import Group, Point, Sheet
from .published import Stated
from .tables import in_short, measurements, peers

LONG = 16  # lines; a longer table opens on a click, with a short one above
SHORT = "Latency of one batch; in brackets the share of the bound that is reached"
GUIDE = """\
Models have random weights of the real shape and random text embeddings: speed does not depend on what was learned.

- `latency`: median wall seconds of one batch, with its 95% interval in brackets.
- `clips / s`: batch over latency.
- `real-time factor`: seconds of computing per second of audio of the whole batch; below 1 is faster than playback.
- `first audio`: time until the first chunk of a paradigm that streams.
- `bound`: the least time in which this device can move the bytes and do the operations that the paradigm cannot avoid.
  It follows from the model's configuration and from the copy bandwidth and matrix rate measured in the same run.
- `share of bound`: bound over latency. 100% cannot be improved on; what is missing is due to the implementation, not to
  the paradigm.
- `evaluations`: passes through backbone and head, one after the other.

Rows in italics are peers: another library at the same shape. A measurement that failed says why."""
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
    """One study on one machine, with its figures (name -> file)."""

    group: Group
    figures: Mapping[str, Path]

    @property
    def sheet(self) -> Sheet:
        """The study's points."""
        return self.group.sheets[0]


def about(found: Sequence[Findings]) -> str:
    """Where, and what was the same in all measurements."""
    return "; ".join(f"{one.group.place.title}; {held(one.sheet)}" for one in found) + "."


def main_table(sheet: Sheet) -> Table:
    """All measurements, or where there are many, one line per setting."""
    table = measurements(sheet)
    return in_short(sheet, (f"{SHORT}.",)) if len(table.body) > LONG else table


def notes(found: Sequence[Findings], published: Sequence[Stated]) -> list[str]:
    """Every crossover in words."""
    several = len(found) > 1
    return [
        f"{one.group.place.title}: {said}" if several else said
        for one in found
        for said in sentences(one.sheet, published)
    ]


def details(found: Sequence[Findings], published: Sequence[Stated], home: Path) -> list[str]:
    """What stands below the main table and the answers."""
    parts = []
    for i, one in enumerate(found):
        parts += [f"## {one.group.place.title}", main_table(one.sheet).markdown()] if i else []
        parts += _sheet_parts(one, published, home)
    parts += ["## How it was run"]
    for one in found:
        parts += [bullets([f"{one.group.place.title}.", *machine(one.group), *settings(one.sheet)])]
    parts.append(f"The {records_of(home)} hold everything above.")
    return [*parts, folded("How to read the tables", GUIDE)]


def machine(group: Group) -> list[str]:
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
    return [*lines, f"{versions}; code {revision}, {newest.created[:10]}."]


def settings(sheet: Sheet) -> list[str]:
    """What was the same in all measurements of a sheet, and every arm's sampler."""
    samplers = {p.arm: _sampler(sheet, p) for p in sheet.ours}
    commands = dict.fromkeys(p.record.command for p in sheet.points if p.record.command)
    lines = [f"{held(sheet)}."]
    lines += ["Samplers: " + "; ".join(f"{arm} {text}" for arm, text in samplers.items() if text) + "."]
    return lines + (["Command: " + ", ".join(f"`{command}`" for command in commands) + "."] if commands else [])


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
    counted = f" ({count(' or '.join(map(str, frames)), 'frame')})" if frames else ""
    return units.named(name, next(iter(values))) + counted


def _sampler(sheet: Sheet, point: Point) -> str:
    sampler = point.record.cell.get("sampler") or {}
    shared = ["guidance"] if _held(sheet, "guidance") else []
    told = [f"{key} {units.knob(value)}" for key, value in sampler.items() if key not in (*sheet.swept, *shared)]
    return ", ".join([*told, *(["compiled"] if point.knobs.get("compile") and "compile" not in sheet.swept else [])])


def _sheet_parts(one: Findings, published: Sequence[Stated], home: Path) -> list[str]:
    table, against, parts = measurements(one.sheet), peers(one.sheet), []
    if len(table.body) > LONG:
        parts += [folded(f"All {len(table.body)} measurements", table.markdown())]
    if against is not None:
        says = "above 1: ours is faster; the interval uses the far ends of both"
        parts += [f"Ours against peers at the same settings (`peer / ours` {says}):", against.markdown()]
    return parts + [image(path, home, caption(one, name, published)) for name, path in one.figures.items()]


def caption(one: Findings, name: str, published: Sequence[Stated]) -> str:
    """Of a figure: what it shows, where it was measured and what was the same in all measurements."""
    sheet, dots = one.sheet, "larger dots are larger batches"
    key = "Full lines: measured, dots: the bound" + (", dashes: peers." if any(p.peer for p in sheet.points) else ".")
    grey = " Grey: what a paper states, of its own hardware." if claims(sheet, published) else ""
    what = {
        "batch": f"Throughput and latency against batch. {key}{grey}",
        "heat": "Latency over decoding iterations and diffusion steps.",
        "shares": f"Share of the bound: bars to the median of a system's measurements, {dots}.",
        "roofline": f"Roofline: operations per second against operations per byte that must move, {dots}.",
    }.get(name, f"Latency against {KNOB_TITLES.get(name, name)}. {key}")
    return f"{what} {sheet.place.title}; {held(sheet)}."
