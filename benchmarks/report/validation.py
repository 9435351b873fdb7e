"""The page and the figure of a validation: what each metric makes of known degradations of real audio."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.lines import count
from ..analysis.metric_validity import FAD_CLIPS, is_tagger_distance
from ..analysis.validation import EXCHANGED_SHARE, MARGIN_STEP, NOTHING, Validation
from ..metrics.catalogue import TAGGERS, about, evaluator_of, family, is_fidelity
from ..metrics.degradations import required_chains
from ..metrics.ladder import REFERENCES
from .figure_cache import drawn, fingerprint
from .markup import Table, bullets, image, write_changed
from .scores import ARROWS
from .style import GREY, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAD = "kad"  # the lead metric of a judge
HEIGHTS = (-0.3, 4.0)  # ends of the vertical axes
COLUMNS = 2  # panels side by side: readable on a phone
PANEL_ROWS = 1.75  # inches
WITNESSES = 2  # metrics of fidelity that should order a chain
CAPTION = (
    "Effect of each degradation on the judges' lead metrics. The vertical axis is the difference from clean audio over "
    "the effect of white noise at 0 dB on the same metric (for exchanged clips, which no judge can notice, adherence "
    "over its effect of exchanging all); up is worse. Filled markers are steps that the metric notices. The tagger, "
    "dashed, decides no fidelity."
)


def write_pages(validation: Validation, file: Path) -> tuple[Path, Path | None]:
    """Write the page and the figure of a validation beside its ``file``; returns their paths."""
    page, picture = file.with_suffix(".md"), file.with_suffix(".png")
    mark = fingerprint(draw, file.parent, [], [file.read_text(encoding="utf-8")])
    figure = drawn(picture, mark, partial(draw, validation))
    write_changed(page, page_text(validation, figure, file))
    return page, figure


def page_text(validation: Validation, figure: Path | None, file: Path) -> str:
    """The page as Markdown; links start from the folder of ``file``."""
    v = validation
    evaluators = ", ".join(f"{one.name} ({one.identity[:8]})" for one in v.evaluators)
    noise, share = f"{MARGIN_STEP[1]:g} dB", f"{EXCHANGED_SHARE:.0%}"
    parts = [
        f"# Which metrics may decide on the corpus {v.corpus.name}",
        f"{count(v.prompts, 'real clip')} of {v.seconds:g} s at {v.sample_rate:,} Hz from the split `{v.split}` were "
        f"degraded in known ways and scored against {count(v.prompts, 'other clip')}, as generated clips are. "
        f'Evaluators: {evaluators}. The rules: docs/metrics.md, "The ladder".',
        "## In short",
        bullets([*told(v), *v.notes]),
        summary(v).markdown(),
        "A metric notices a step if its difference from clean audio is significant (paired by prompt, Holm's "
        f"correction over the chain) and larger than {NOTHING:.0%} of its largest change. It orders a chain if no step "
        "is better than the one before it and the last is worse than clean audio. The margin of fidelity is the effect "
        f"of noise at {noise}, that of metrics that read captions {share} of the effect of exchanging all clips.",
        image(figure, file.parent, CAPTION),
        "## Every step",
        steps_table(v).markdown(),
        "## From which step on",
        "The first step that each metric notices, whether it calls it worse or better.",
        noticed_table(v).markdown(),
        "## How it was measured",
        f"Study {v.study}, representation {v.representation}, {v.created}. "
        f"Command: `{v.command or 'bench validate-metrics'}`. Data: [{file.name}]({file.name}).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(validation: Validation) -> Table:
    """Metrics x the chains that they must order, with the verdict on each metric and its margin."""
    v = validation
    chains = [name for name, chain in v.chains.items() if chain.required_of in ("fidelity", "captions")]
    header = ["metric", "may decide", *(v.chains[name].title for name in chains), "loudness alone", "margin"]
    body = [
        [
            name + ARROWS[about(name).better],
            may_decide(v, name) or "yes",
            *(_order(v, name, chain) for chain in chains),
            "moves" if v.moves_with_loudness(name) else "no change",
            _number(v.margin(name)),
        ]
        for name in _shown(v)
    ]
    return Table(header, body)


def as_data(validation: Validation) -> dict[str, Any]:
    """What ``summary`` says, as plain data by the names of metrics."""
    v = validation
    return {
        name: {
            "may_decide": not may_decide(v, name),
            "reason": may_decide(v, name),
            "margin": v.margin(name),
            "moves_with_loudness": v.moves_with_loudness(name),
            "chains": {
                chain: {"orders": v.orders(name, chain), "notices_from": v.notices_from(name, chain)}
                for chain in v.chains
            },
        }
        for name in _shown(v)
    }


def may_decide(validation: Validation, name: str) -> str:
    """Why a metric may not decide on the corpus, whatever its n in a study; empty where it may."""
    if is_tagger_distance(name):
        return "no: a tagger's distance"
    problem = validation.problem(name)
    if problem:
        return f"no: {problem}"
    return f"from {count(FAD_CLIPS, 'clip')}" if family(name) == "fad" else ""


def told(validation: Validation) -> list[str]:
    """In sentences: by how many metrics of fidelity each chain is ordered, and what no judge notices."""
    v = validation
    fidelity = [name for name in _shown(v) if is_fidelity(name)]
    lines = []
    for chain, info in v.chains.items():
        if info.required_of == "fidelity":
            by = [name for name in fidelity if v.orders(name, chain)]
            few = "" if len(by) >= WITNESSES else f"; that is fewer than {WITNESSES}, so trust no table on it"
            lines.append(f"{info.title}: ordered by {', '.join(by) or 'no metric of fidelity'}{few}")
    unnoticed = [
        f"{info.title} {label}"
        for chain, info in v.chains.items()
        if info.required_of in ("fidelity", "nothing") and chain != REFERENCES
        for step, label in zip(info.steps, info.labels())
        if sum(_worse(v, name, chain, step) for name in fidelity) < WITNESSES
    ]
    if unnoticed:
        lines.append(f"noticed as worse by fewer than {WITNESSES} metrics of fidelity: {', '.join(unnoticed)}")
    for name in (name for name in fidelity if family(name) == LEAD):
        silent = [i.title for c, i in v.chains.items() if i.required_of == "nothing" and not any(v.effects(name, c))]
        lines += [f"{name} notices no step of: {', '.join(silent)}"] if silent else []
    moved = [name for name in _shown(v) if v.moves_with_loudness(name)]
    lines.append(f"moves with loudness alone: {', '.join(moved) or 'no metric'}")
    return lines


def steps_table(validation: Validation) -> Table:
    """Steps x metrics: the scores, and how many metrics of fidelity notice each step as worse than clean audio."""
    v, names = validation, _shown(validation)
    body = [["clean audio", *(_number(v.metrics[name].clean) for name in names), ""]]
    for chain, info in v.chains.items():
        held = {name: v.labelled(name, chain) for name in names}
        for step, label in zip(info.steps, info.labels()):
            values = [_number(held[name][step][0].value) if step in held[name] else "–" for name in names]
            worse = sum(_worse(v, name, chain, step) for name in names if is_fidelity(name))
            body.append([f"{info.title}, {label}", *values, str(worse)])
    note = "worse by: how many of the metrics of fidelity notice the step as worse than clean audio"
    return Table(["step", *(name + ARROWS[about(name).better] for name in names), "worse by"], body, notes=(note,))


def _worse(validation: Validation, name: str, chain: str, step: str) -> bool:
    """Whether a metric notices a step, by its label, as worse than clean audio."""
    found = validation.labelled(name, chain).get(step)
    return found is not None and found[1] == "worse"


def noticed_table(validation: Validation) -> Table:
    """Metrics x all chains: the first step that is noticed."""
    v, chains = validation, {name: info for name, info in validation.chains.items() if name != REFERENCES}
    header = ["metric", *(f"{info.title} ({info.unit})" for info in chains.values())]
    return Table(header, [[name, *(v.notices_from(name, chain) or "–" for chain in chains)] for name in _shown(v)])


def draw(validation: Validation) -> Figure:
    """One panel per chain, one line per evaluator's lead metric."""
    v = validation
    names = [f"{LEAD}_{one.name}" for one in v.evaluators if f"{LEAD}_{one.name}" in v.metrics]
    adherence = next((f"adherence_{tagger}" for tagger in TAGGERS if f"adherence_{tagger}" in v.metrics), "")
    rows = -(-len(v.chains) // COLUMNS)
    figure, axes = canvas(rows, COLUMNS, 4.9, PANEL_ROWS * rows + 0.5)
    styles = _styles(names)
    for axis, (chain, info) in zip(axes.flat, v.chains.items()):
        drawn_names = [adherence] if info.required_of == "captions" and adherence else names
        for name in drawn_names:
            _line(axis, v, name, chain, styles.get(name, {"color": GREY, "linestyle": ":"}))
        named = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if chain == REFERENCES else {}
        axis.set_xticks(range(len(info.steps)), [label.replace("_", " ") for label in info.steps], fontsize=8, **named)
        axis.tick_params(axis="y", labelsize=8)
        axis.set_title(info.title, fontsize=9)
        axis.set_xlabel(info.unit, fontsize=8)
        axis.axhline(0, color=GREY, linewidth=0.6)
        axis.set_yscale("symlog", linthresh=0.1, linscale=0.6)
        axis.set_ylim(*HEIGHTS)
        axis.set_yticks([-0.1, 0, 0.1, 1], ["-0.1", "0", "0.1", "1"])
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(v.chains) :]:
        axis.set_axis_off()
    handles = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _line(axis: Any, validation: Validation, name: str, chain: str, style: dict[str, Any]) -> None:
    """The differences of one metric over a chain, as shares of the effect by which the metric is normalised."""
    held = validation.metrics[name]
    steps, unit = held.chains.get(chain, ()), _unit(validation, name)
    if not steps or not unit:
        return
    sign = -1.0 if held.better == "higher" else 1.0
    heights = [sign * step.difference / unit for step in steps]
    if chain != REFERENCES:
        axis.plot(range(len(steps)), heights, label=name, linewidth=1.3, **style)
    for k, (height, effect) in enumerate(zip(heights, validation.effects(name, chain))):
        filled = style["color"] if effect else "white"
        axis.plot([k], [height], "o", markersize=3.5, color=style["color"], markerfacecolor=filled)


def _unit(validation: Validation, name: str) -> float:
    """The effect of noise at 0 dB, or of exchanging all clips for a metric that only reads captions."""
    chain = "noise" if family(name) == LEAD else "exchanged"
    steps = validation.metrics[name].chains.get(chain, ())
    return abs(steps[-1].difference) if steps else 0.0


def _styles(names: list[str]) -> dict[str, dict[str, Any]]:
    judges = [name for name in names if evaluator_of(name) not in TAGGERS]
    styles = {name: {"color": f"C{i}", "linestyle": "-"} for i, name in enumerate(judges)}
    return {**styles, **{name: {"color": GREY, "linestyle": "--"} for name in names if name not in judges}}


def _shown(validation: Validation) -> list[str]:
    """The metrics of tables: those that may be compared clip by clip, by evaluator; no single attributes."""
    order = {one.name: i for i, one in enumerate(validation.evaluators[1:])}  # judges first, the tagger last
    names = [
        name
        for name in validation.metrics
        if about(name).compared and not (family(name) == "adherence" and name.count("_") > 1)
    ]
    return sorted(names, key=lambda name: (order.get(evaluator_of(name), len(order)), family(name) != LEAD))


def _order(validation: Validation, name: str, chain: str) -> str:
    """What a metric makes of a chain, in few words; a dash where it need not order it and does not notice it."""
    first, ordered = validation.notices_from(name, chain), validation.orders(name, chain)
    if ordered is None:
        return "–"
    if chain not in required_chains(name):
        return f"from {first}" if first else "–"
    if ordered:
        return f"ordered, from {first}"
    return f"out of order, from {first}" if first else "not noticed"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
