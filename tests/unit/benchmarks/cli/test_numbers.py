"""Options that are numbers: NaN, infinity and numbers outside their range are refused in one line."""

from __future__ import annotations

import pytest

from paradigm_bench.benchmarks.cli.main import status

COMPARE = ("compare", "fm", "ar", "--metric", "kad_musicnn", "--margin")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "NaN", "Infinity"])
@pytest.mark.parametrize("command", [COMPARE, ("plan", "quickstart", "--hours"), ("codec", "train", "--frame-rate")])
def test_a_number_that_is_none_is_refused_in_one_line(
    command: tuple[str, ...], value: str, capsys: pytest.CaptureFixture
) -> None:
    extra = ("--out", "codec") if command[0] == "codec" else ()
    assert status([*command[:2], *extra, *command[2:-1], f"{command[-1]}={value}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: error: ")
    assert error.count("\n") == 1
    assert command[-1] in error
