"""Is a store whole? Every file is read and compared with its checksum, and the manifest with the files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...common.files import read_json
from .layout import Layout
from .manifest import holdings
from .prepare import units
from .shards import BadShardError, Shard


@dataclass(frozen=True)
class Fault:
    """One bad file.

    Attributes:
        name: of the shard.
        control: whose tokens it holds; empty: it holds latents.
        why: it cannot be used.
        turn: of the array task that makes this shard alone, e.g. ``"17/40"``.
    """

    name: str
    control: str
    why: str
    turn: str


def check_store(layout: Layout, splits: Sequence[str]) -> Iterator[Fault | None]:
    """Look at every file of ``splits``: its fault, or None for a good one."""
    total = len(units(layout, splits))
    at = 0
    for split in splits:
        held = holdings(layout, split)
        listed = {label: _listed(layout, split, label) for label in held}
        for number in range(layout.count(split)):
            for label, shards in held.items():
                fault = _fault(shards[number], listed[label])
                control = label.partition("-")[0] if "-" in label else ""
                yield Fault(shards[number].name, control, fault, f"{at}/{total}") if fault else None
            at += 1


def _fault(shard: Shard, listed: dict[str, Any]) -> str:
    try:
        facts = shard.facts(thorough=True)
    except BadShardError as error:
        return str(error)
    stated = listed.get(shard.name, {}).get("sha256", facts.sha256)
    return "" if stated == facts.sha256 else "is not the file that the manifest lists: it was replaced"


def _listed(layout: Layout, split: str, label: str) -> dict[str, Any]:
    with contextlib.suppress(KeyError):
        return {row["name"]: row for row in read_json(layout.manifest, remade=True)["splits"][split][label]}
    return {}
