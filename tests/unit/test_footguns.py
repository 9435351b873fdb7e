"""docs/footguns.md names a guard for each trap; every guard that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "footguns.md").read_text(encoding="utf-8")
GUARDS = sorted(set(re.findall(r"`((?:tests|representations|benchmarks)/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("path", "test"), GUARDS)
def test_the_guard_exists(path: str, test: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert f"def {test}(" in source or not test


def test_every_trap_has_a_guard_or_says_where_to_look() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| the trap")]
    assert len(rows) > 30
    assert all("`" in row.rsplit("|", 2)[1] or "look" in row.rsplit("|", 2)[1] for row in rows)
    assert len(GUARDS) > 30
