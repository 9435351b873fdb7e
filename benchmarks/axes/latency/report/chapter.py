"""The axis latency in the reports: how fast every arm is on which hardware, and how close to what it allows.

``sweeps`` groups the records, ``tables`` and ``figures`` show them, ``crossover`` compares AR with FM and reads what
papers state, ``units`` formats numbers. This module makes the page of a study.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .....common.lines import count
from ....report.chapter import Answer, Chapter, StudyPage, StudyRecords
from ....report.figure_cache import drawn, fingerprint
from ....report.markup import Table, bullets, folded, image, records_link
from ....report.method import software
from ....report.style import arm_colours
from . import units
from .crossover import EQUAL, PublishedSpeed, matching, published_speeds, sentences
from .figures import against, heat_map, horizontal, roof, roofline, shares
from .sweeps import LatencyPoint, Sweep, make_sweeps, number
from .tables import against_baselines, in_short, measurements

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTION = "Which system is fastest? (latency of one batch, lower is better)"
SETTING = (*EQUAL, "batch")
LONG = 16  # rows; a longer table is folded, with a short one above it
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
TITLES = {
    "seconds": "duration", "layers": "depth", "frame_rate_hz": "frame rate", "text_tokens": "length of the text",
}  # fmt: skip


def describe(study: StudyRecords) -> StudyPage:
    """The page of one study, with its tables and figures for every platform that it was measured on."""
    sweeps, speeds = make_sweeps(study), published_speeds()
    colours = arm_colours({point.arm: point.paradigm for sweep in sweeps for point in sweep.points})
    figures = [_figures(sweep, colours, speeds) for sweep in sweeps]
    about = "; ".join(f"{sweep.platform.title}; {_common(sweep)}" for sweep in sweeps) + "."
    return StudyPage(
        about, _main_table(sweeps[0]), answers(sweeps), _details(sweeps, figures, speeds, study.folder),
        _row(sweeps), max(_weight(sweep) for sweep in sweeps), notes=_notes(sweeps, speeds),
        left_out=sum((Counter(sweep.left_out) for sweep in sweeps), Counter[str]()),
    )  # fmt: skip


CHAPTER = Chapter(
    "Latency",
    "How many seconds does one batch of clips take, and how near is that to what the hardware allows? How it is "
    "measured: [latency](docs/latency.md).",
    describe,
)


def answers(sweeps: Sequence[Sweep]) -> list[Answer]:
    """The systems at one setting, fastest first, on the platform with the most evidence; none without two paradigms."""
    weights = [(_evidence(_shared_settings(sweep)), sweep) for sweep in sweeps]
    evidence, sweep = max(weights, key=lambda one: one[0], default=((0, 0), None))
    if sweep is None or evidence[0] < 2:
        return []
    settings = _shared_settings(sweep)
    lines = dict.fromkeys(_order(sweep, points) for points in (settings[0], settings[-1]))
    return [Answer(QUESTION, "; ".join(lines), sweep.platform.title)]


def _row(sweeps: Sequence[Sweep]) -> dict[str, str]:
    points, found = [point for sweep in sweeps for point in sweep.points], answers(sweeps)
    return {
        "machine": "; ".join(sweep.platform.title for sweep in sweeps),
        "systems": str(len({point.system for point in points})), "measurements": str(len(points)),
        "fastest first": found[0].answer if found else "–",
    }  # fmt: skip


def _weight(sweep: Sweep) -> tuple[float, ...]:
    """Accelerators count most, then the number of paradigms at one setting, then that of settings."""
    return sweep.platform.device != "cpu", *_evidence(_shared_settings(sweep))


def _shared_settings(sweep: Sweep) -> list[tuple[LatencyPoint, ...]]:
    """Our points at equal settings, for those settings that most systems share, by batch."""
    by_setting: dict[tuple[str, ...], list[LatencyPoint]] = {}
    for point in sweep.ours:
        if point.good:
            by_setting.setdefault(tuple(str(point.settings.get(name)) for name in SETTING), []).append(point)
    most = max((len(points) for points in by_setting.values()), default=0)
    shared = [tuple(points) for points in by_setting.values() if len(points) == most]
    return sorted(shared, key=lambda points: number(points[0].settings["batch"]))


def _evidence(settings: Sequence[Sequence[LatencyPoint]]) -> tuple[int, int]:
    return len({point.paradigm for point in settings[0]}) if settings else 0, len(settings)


def _order(sweep: Sweep, points: Sequence[LatencyPoint]) -> str:
    names = [name for name in SETTING if name in sweep.swept or name in ("batch", "seconds")]
    where = ", ".join(units.named(name, points[0].settings[name]) for name in names)
    ranked = sorted((point.value("latency_s") or 0.0, sweep.label(point, *SETTING)) for point in points)
    systems = [(latency, *name.partition(", ")[::2]) for latency, name in ranked]
    texts = [f"{system} {f'({own}) ' if own else ''}{units.seconds(latency)}" for latency, system, own in systems]
    return f"{where}: {', '.join(texts)}"


def _figures(sweep: Sweep, colours: Mapping[str, Any], speeds: Sequence[PublishedSpeed]) -> dict[str, Path]:
    functions: dict[str, Callable[[], Figure | None]] = {
        **{name: partial(against, sweep, name, colours, speeds) for name in horizontal(sweep)},
        "heat": partial(heat_map, sweep), "shares": partial(shares, sweep, colours),
        "roofline": partial(roofline, sweep, colours),
    }  # fmt: skip
    records, texts = [point.record for point in sweep.points], [measurements(sweep).markdown(), repr(speeds)]
    written = {}
    for name, draw in functions.items():
        path = sweep.folder / "figures" / f"latency-{sweep.platform.slug}-{name}.png"
        figure = drawn(path, fingerprint(draw, sweep.folder, records, [*texts, name]), draw)
        if figure is not None:
            written[name] = figure
    return written


def _main_table(sweep: Sweep) -> Table:
    """All measurements, or one row per setting if there are many."""
    table = measurements(sweep)
    return in_short(sweep, (f"{SHORT}.",)) if len(table.body) > LONG else table


def _notes(sweeps: Sequence[Sweep], speeds: Sequence[PublishedSpeed]) -> list[str]:
    """A sentence on every crossover, with its platform if there are several."""
    found = [(sweep.platform.title, sentence) for sweep in sweeps for sentence in sentences(sweep, speeds)]
    return [f"{title}: {sentence}" if len(sweeps) > 1 else sentence for title, sentence in found]


def _details(
    sweeps: Sequence[Sweep], figures: Sequence[Mapping[str, Path]], speeds: Sequence[PublishedSpeed], home: Path
) -> list[str]:
    parts = []
    for sweep, files in zip(sweeps, figures):
        parts += [f"## {sweep.platform.title}", _main_table(sweep).markdown()] if sweep is not sweeps[0] else []
        parts += _sweep_parts(sweep)
        parts += [image(path, home, _caption(sweep, name, speeds)) for name, path in files.items()]
    parts += ["## How it was run"]
    for sweep in sweeps:
        lines = [f"{sweep.platform.title}.", *_machine(sweep), *_settings(sweep)]
        parts += [bullets(lines)]
    parts.append(f"The {records_link(home)} hold everything above.")
    return [*parts, folded("How to read the tables", GUIDE)]


def _machine(sweep: Sweep) -> list[str]:
    lines, limits = [], roof(sweep)
    if limits:
        flops, bandwidth = limits
        rates = f"{units.rate(flops)}FLOP/s in matrix products, {units.rate(bandwidth)}B/s copied (read and written)"
        lines.append(f"The device, measured in the same runs (medians): {rates}.")
    newest = max(sweep.points, key=lambda point: point.record.created).record
    return [*lines, f"{software(newest.environment)}, {newest.created[:10]}."]


def _settings(sweep: Sweep) -> list[str]:
    samplers = {p.arm: _sampler(sweep, p) for p in sweep.ours}
    commands = dict.fromkeys(p.record.command for p in sweep.points if p.record.command)
    lines = [f"{_common(sweep)}."]
    lines += ["Samplers: " + "; ".join(f"{arm} {text}" for arm, text in samplers.items() if text) + "."]
    return lines + (["Command: " + ", ".join(f"`{command}`" for command in commands) + "."] if commands else [])


def _common(sweep: Sweep) -> str:
    common = [text for name in COMMON if (text := _shared(sweep, name))]
    decoders = dict.fromkeys(str(p.settings.get("decoder")) for p in sweep.points)
    clock = "; ".join(CLOCKED.get(name, f"sampler and decoder {name}") for name in decoders)
    return ", ".join([*common, f"inside the clock: {clock} (text embedded before)"])


def _shared(sweep: Sweep, name: str) -> str:
    """A setting as text, such as ``10 s (500 frames)``; empty if it was swept or differs between arms."""
    values = {units.setting(p.settings[name]): p for p in sweep.points if p.settings.get(name) is not None}
    if len(values) != 1:
        return ""
    frames = sorted({p.config.setting.frames for p in sweep.points}) if name == "seconds" else []
    counted = f" ({count(' or '.join(map(str, frames)), 'frame')})" if frames else ""
    return units.named(name, next(iter(values))) + counted


def _sampler(sweep: Sweep, point: LatencyPoint) -> str:
    """The settings of an arm's sampler that are neither swept nor the same for all arms."""
    skipped = [*sweep.swept, *(["guidance"] if _shared(sweep, "guidance") else [])]
    texts = [f"{key} {units.setting(value)}" for key, value in point.config.sampler.items() if key not in skipped]
    compiled = point.config.setting.compile and "compile" not in sweep.swept
    return ", ".join([*texts, *(["compiled"] if compiled else [])])


def _sweep_parts(sweep: Sweep) -> list[str]:
    table, baselines, parts = measurements(sweep), against_baselines(sweep), []
    if len(table.body) > LONG:
        parts += [folded(f"All {len(table.body)} measurements", table.markdown())]
    if baselines is not None:
        explained = "above 1: ours is faster; the interval uses the far ends of both"
        parts += [f"Ours against peers at the same settings (`peer / ours` {explained}):", baselines.markdown()]
    return parts


def _caption(sweep: Sweep, name: str, speeds: Sequence[PublishedSpeed]) -> str:
    dots = "larger dots are larger batches"
    key = "Full lines: measured, dots: the bound" + (
        ", dashes: peers." if any(p.baseline for p in sweep.points) else "."
    )
    grey = " Grey: what a paper states, of its own hardware." if matching(sweep, speeds) else ""
    what = {
        "batch": f"Throughput and latency against batch. {key}{grey}",
        "heat": "Latency over decoding iterations and diffusion steps.",
        "shares": f"Share of the bound: bars to the median of a system's measurements, {dots}.",
        "roofline": f"Roofline: operations per second against operations per byte that must move, {dots}.",
    }.get(name, f"Latency against {TITLES.get(name, name)}. {key}")
    return f"{what} {sweep.platform.title}; {_common(sweep)}."
