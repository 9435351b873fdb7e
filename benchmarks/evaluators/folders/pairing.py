"""Which files of two folders take part in a score, decided from their names before anything is decoded.

Where at least half of the smaller folder's files have a partner with their name in the other, partners are pairs, and a
file without one is left out and named. Otherwise the folders are two unrelated sets, which must be of equal size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ....common.errors import UserError, did_you_mean
from ....common.lines import count

SHOWN = 5  # files without a partner that are named


@dataclass(frozen=True)
class Matched:
    """The files that take part.

    Attributes:
        reference, generated: name -> file; the same names in both if ``paired``.
        notes: a line on every file that is left out, and on why sets are not paired.
    """

    reference: dict[str, Path]
    generated: dict[str, Path]
    paired: bool
    notes: list[str]


def match_names(
    reference: Mapping[str, Path], generated: Mapping[str, Path], n: int = 0, may_pair: bool = True
) -> Matched:
    """Pair two folders by name, or take them as two sets.

    Args:
        n: number of clips wanted of each; 0: all.
        may_pair: whether files of one name are pairs.

    Raises:
        UserError: two sets of unequal size and no ``n``, or fewer than ``n`` files.
    """
    shared = [name for name in generated if name in reference]
    smaller = min(len(reference), len(generated))
    if may_pair and 2 * len(shared) >= smaller and len(shared) > 1:
        found = _pairs(reference, generated, shared)
    else:
        found = Matched(dict(reference), dict(generated), False, _why_two_sets(shared, smaller, may_pair))
    sizes, why = (len(found.reference), len(found.generated)), "; ".join(["", *found.notes])
    if not n and sizes[0] != sizes[1]:
        told = f"{count(sizes[0], 'reference file')}, {sizes[1]:,} generated: scores compare at equal n only; give as "
        advice = f"many of each, or --n {smaller} to draw as many from both"
        raise UserError(f"{told}{advice if smaller > 1 else 'many of each, at least two clips in each set'}{why}")
    if n > min(sizes):
        raise UserError(f"--n {n}: only {count(min(sizes), 'file')} of each set; give a smaller number{why}")
    return found


def _pairs(reference: Mapping[str, Path], generated: Mapping[str, Path], shared: list[str]) -> Matched:
    kept = [{name: files[name] for name in sorted(shared)} for files in (reference, generated)]
    first = [name for name in reference if name not in generated]
    second = [name for name in generated if name not in reference]
    if not first and not second:
        return Matched(kept[0], kept[1], True, [])
    summary = (
        f"paired by name: {count(len(shared), 'pair')}; left out without a partner: {len(first):,} reference and "
        f"{count(len(second), 'generated file')}. --unpaired scores two sets without pairs"
    )
    alone = [*_alone("reference", first, second), *_alone("generated", second, first)]
    return Matched(kept[0], kept[1], True, [summary, *alone])


def _alone(kind: str, names: list[str], others: list[str]) -> list[str]:
    """A line on files without a partner; ``others``: those of the other set, one of which may be misnamed."""
    told = ", ".join(name + did_you_mean(name, others) for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return [f"left out, {kind}: {told}{more}"] if names else []


def _why_two_sets(shared: list[str], smaller: int, may_pair: bool) -> list[str]:
    if not may_pair or not shared:
        return []
    return [
        f"not paired: only {len(shared):,} of {count(smaller, 'file')} share a name with the other set, such as "
        f"{shared[0]}; scored as two unrelated sets, without kl. Give partners the same name"
    ]
