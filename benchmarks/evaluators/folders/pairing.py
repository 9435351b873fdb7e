"""Which clips of two folders are scored, and which are pairs.

Names decide: where every file of the smaller set has a namesake in the larger, namesakes are pairs. Else the sets are
unrelated. Clips are put in the order of their content, so that neither names nor order change a digit of any score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ....common.errors import UserError
from ....common.lines import count
from .outputs import Heard


@dataclass(frozen=True)
class Clip:
    """A file that takes part."""

    name: str
    heard: Heard
    caption: str = ""


def are_paired(reference: Mapping[str, Path], generated: Mapping[str, Path]) -> bool:
    """Whether every file of the smaller set has a partner of its name."""
    smaller, larger = sorted((reference, generated), key=len)
    return set(smaller) <= set(larger)


def partners(
    reference: Mapping[str, Path], generated: Mapping[str, Path]
) -> tuple[dict[str, Path], dict[str, Path], list[str]]:
    """The files whose names both sets have, and a line on those left out."""
    kept, notes = [], []
    for kind, found, other in (("reference", reference, generated), ("generated", generated, reference)):
        if alone := [name for name in found if name not in other]:
            notes.append(f"{kind}: left out {count(len(alone), 'file')} without a partner, such as {alone[0]}")
        kept.append({name: path for name, path in found.items() if name in other})
    return kept[0], kept[1], notes


def pair(reference: list[Clip], generated: list[Clip], n: int) -> tuple[list[Clip], list[Clip]]:
    """Good clips side by side with their partners, ``n`` of them (0: all).

    Raises:
        UserError: fewer than two pairs, or fewer than ``n``.
    """
    partner = {clip.name: clip for clip in reference if not clip.heard.problem}
    good = [(clip, partner[clip.name]) for clip in generated if not clip.heard.problem and clip.name in partner]
    good.sort(key=lambda both: (both[0].heard.digest, both[1].heard.digest, both[0].caption))
    good = good[: _count(n, len(good))]
    return [other for _, other in good], [clip for clip, _ in good]


def match(reference: list[Clip], generated: list[Clip], n: int) -> tuple[list[Clip], list[Clip]]:
    """Good clips of two unrelated sets, equally many; ``n`` (0: as many as there are) are taken by content.

    Raises:
        UserError: unequal sets and no ``n``, fewer than two clips, or fewer than ``n``.
    """
    if not n and len(reference) != len(generated):
        raise UserError(
            f"{count(len(reference), 'reference file')}, {len(generated)} generated: scores compare at equal n only; "
            f"give as many of each, or --n {min(len(reference), len(generated))} to draw as many from both"
        )
    sets = [[clip for clip in clips if not clip.heard.problem] for clips in (reference, generated)]
    for clips in sets:
        clips.sort(key=lambda clip: (clip.heard.digest, clip.caption))
    taken = _count(n, min(map(len, sets)))
    return sets[0][:taken], sets[1][:taken]


def _count(wanted: int, there: int) -> int:
    if there < 2:
        raise UserError(f"only {count(there, 'good clip')} of each set; a distance needs 2 at least: add clips")
    if wanted > there:
        raise UserError(f"--n {wanted}: only {count(there, 'good clip')} of each set; give a smaller number")
    return wanted or there
