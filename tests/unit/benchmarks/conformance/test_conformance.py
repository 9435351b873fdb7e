"""The conformance suite: every built-in paradigm passes every check, and the command says so in a table."""

from __future__ import annotations

import pytest

from paradigm_bench import paradigms
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.conformance import CHECKS, NEEDS, CheckSkipped, ConformanceCase

CASES = {name: ConformanceCase(paradigms.find(name)) for name in paradigms.names()}
CLAIMS = {"known_frames": "inpaints", "span_context": "inpaints", "streaming": "streams"}


@pytest.mark.parametrize("check", list(CHECKS))
@pytest.mark.parametrize("name", list(CASES))
def test_paradigm(name: str, check: str) -> None:
    if check in CLAIMS and not getattr(CASES[name].paradigm, CLAIMS[check]):
        with pytest.raises(CheckSkipped):
            CHECKS[check](CASES[name])
    else:
        CHECKS[check](CASES[name])


def test_checks_say_what_they_prove_and_rest_on_earlier_ones() -> None:
    order = list(CHECKS)
    for name, check in CHECKS.items():
        assert (check.__doc__ or "").strip()
        assert all(order.index(need) < order.index(name) for need in NEEDS.get(name, ()))


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["check", "fm", "--only", "seeds", "--only", "streaming"]) == 0
    out = capsys.readouterr().out
    assert "pass    seeds         " in out
    assert "skipped streaming     does not claim to stream" in out
    assert out.endswith("fm: 1 passed, 0 failed, 1 skipped\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fmm", "unknown paradigm 'fmm' (did you mean 'fm'?)"),
        ("nosuch.mine:Mine", "No module named 'nosuch'; install its package"),
        ("paradigm_bench.paradigms.fm:FMM", "module 'paradigm_bench.paradigms.fm' has no attribute 'FMM'"),
        ("tests.broken_module:Mine", "ZeroDivisionError: division by zero; correct that module"),
        ("json:loads", "'json:loads' is no paradigm"),
        ("paradigm_bench.paradigms.base:Paradigm", "'paradigm_bench.paradigms.base:Paradigm' is no paradigm"),
        ("fm --only seed", "no check is called 'seed' (did you mean 'seeds'?)"),
    ],
)
def test_bad_input(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["check", *line.split()]) == 2
    assert message in capsys.readouterr().err
