"""The axis latency: how fast every arm is on which hardware, and how near to what that hardware allows.

``points`` groups the records, ``tables`` and ``curves`` show a study's sweep, ``limits`` shows the bound, ``crossover``
finds from which batch on AR makes more clips than FM, ``published`` reads what papers state, ``words`` says it all,
``answers`` in short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....report.chapter import Chapter, StudyPage, StudyRecords

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .points import Group
    from .published import Stated


def tell(study: StudyRecords) -> StudyPage:
    """Tables, figures and words of one study, on every machine that measured it."""
    from ....report.style import arm_colours
    from .answers import answers, row, weight
    from .points import make_groups
    from .published import stated
    from .text import Findings, about, details, main_table, notes

    groups, published = make_groups([study]), stated(study.folder.parent)
    colours = arm_colours({point.arm: point.paradigm for group in groups for point in group.points})
    found = [Findings(group, _figures(group, study, colours, published)) for group in groups]
    return StudyPage(
        about(found), main_table(found[0].sheet), answers(groups), details(found, published, study.folder), row(groups),
        weight(groups), notes=notes(found, published),
    )  # fmt: skip


CHAPTER = Chapter(
    "Latency",
    "How many seconds does one batch of clips take, and how near is that to what the hardware allows? How it is "
    "measured: [latency](docs/latency.md).",
    tell,
)


def _figures(
    group: Group, study: StudyRecords, colours: Mapping[str, Any], published: Sequence[Stated]
) -> dict[str, Path]:
    """Write all figures of one study on one machine; returns name -> file."""
    from ....report.figure_cache import drawn, fingerprint
    from .curves import against, heat_map, knobs
    from .limits import roofline, shares
    from .tables import measurements

    (sheet,) = group.sheets
    shown: dict[str, Callable[[], Figure | None]] = {
        **{knob: partial(against, sheet, knob, colours, published) for knob in knobs(sheet)},
        "heat": partial(heat_map, sheet), "shares": partial(shares, group, colours),
        "roofline": partial(roofline, group, colours),
    }  # fmt: skip
    records, told = [point.record for point in group.points], [measurements(sheet).markdown(), repr(published)]
    made = {}
    for name, draw in shown.items():
        path = study.folder / "figures" / f"latency-{group.place.slug}-{name}.png"
        kept = drawn(path, fingerprint(draw, study.folder, records, [*told, name]), draw)
        if kept is not None:
            made[name] = kept
    return made
