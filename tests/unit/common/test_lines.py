"""Lines for the person at the terminal: a number agrees with its noun."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from paradigm_bench.common.lines import count

ROOT = Path(__file__).parents[3]
FOLDERS = ("common", "backbones", "corpora", "representations", "paradigms", "training", "benchmarks", "slurm")
NOUNS = (
    "arms", "bytes", "captions", "cells", "channels", "checkpoints", "claims", "clips", "codebooks", "copies", "cores",
    "draws", "elements", "files", "frames", "hours", "items", "jobs", "layers", "losses", "measurements", "minutes",
    "pairs", "parameters", "processes", "prompts", "records", "rounds", "rows", "samples", "seeds", "studies", "tasks",
    "threads", "tokens", "updates", "workers",
)  # fmt: skip
ADJECTIVES = ("array", "generated", "good", "latent", "more", "reference", "training")
AFTER_A_NUMBER = re.compile(rf"^ (?:(?:{'|'.join(ADJECTIVES)}) )?(?:{'|'.join(NOUNS)})\b(?! from)")
NEVER_ONE = {  # compared before, or a size that is always large
    "benchmarks/axes/frame_rate/settings.py": "frames",
    "benchmarks/cli/inpaint.py": "native.channels", "benchmarks/conformance/accounting.py": "moved",
    "benchmarks/evaluators/environments/evaluator.py": "len(clip)",
    "benchmarks/evaluators/environments/scripts/fadtk_env.py": "len(frames)",
    "benchmarks/run/estimate/dry_run.py": "jobs",
    "benchmarks/run/progress.py": "self.total", "benchmarks/analysis/records.py": "len(found)",
    "training/rewards.py": "len(scores)", "benchmarks/report/scores.py": "len(row.good)",
    "benchmarks/axes/frame_rate/report/figure.py": "[0].frames",
    "benchmarks/axes/latency/report/chapter.py": "len(table.body)",
    "benchmarks/axes/samplesize/report/chapter.py": "n", "representations/codecs/adversarial.py": "longest",
    "representations/codecs/mel.py": "2 * config.hop", "benchmarks/report/method.py": "amount",
}  # fmt: skip
# Ends of expressions before a noun.
NO_NUMBERS = ("kind", "split", "', '.join(ENDINGS)", "frame_rate_hz", "rate", "TASKS")


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "cell", "", "0 cells"), (1, "cell", "", "1 cell"), (1400, "update", "", "1,400 updates"),
        (1, "study", "studies", "1 study"), (2, "study", "studies", "2 studies"),
    ],
)  # fmt: skip
def test_a_number_agrees_with_its_noun(number: int, noun: str, plural: str, text: str) -> None:
    assert count(number, noun, plural) == text


def test_no_message_writes_a_plural_by_hand() -> None:
    by_hand = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in plurals_by_hand(path)
    ]
    assert not by_hand


def plurals_by_hand(path: Path) -> Iterator[tuple[int, str]]:
    """Places of f-strings where a plural follows a number that may be 1."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:]):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            number, fine = ast.unparse(value.value), NEVER_ONE.get(str(path.relative_to(ROOT)), "?")
            if AFTER_A_NUMBER.match(str(after.value)) and not number.endswith((*NO_NUMBERS, fine)):
                yield node.lineno, f"{{{number}}}{after.value[:40]!r}"
