"""Lengths that a model can be asked for: too long is refused, longer than its training clips is warned of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paradigm_bench.benchmarks.axes.inpainting.fill import span_between
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.run.lengths import LONGEST, check_length, enough_memory
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora.audio import write_audio
from paradigm_bench.representations.spec import LatentSpec

LATENT = LatentSpec("l", 16_000, 25.0, 2)


@pytest.mark.parametrize(
    ("seconds", "trained", "warned"), [(2, 2, False), (1, 2, False), (30, 2, True), (2.5, 2, True)]
)
def test_a_clip_longer_than_those_of_training_gets_one_warning(
    seconds: float, trained: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    check_length(seconds, trained, "--seconds")
    said = capsys.readouterr().err
    assert said.count("\n") == warned
    assert (f"trained on clips of {trained:g} s; {seconds:g} s" in said) == warned


@pytest.mark.parametrize("seconds", [LONGEST + 1, 1e9])
def test_a_clip_that_is_too_long_is_refused(seconds: float) -> None:
    with pytest.raises(UserError, match=r"^--seconds is .* s but must not exceed 600 s$"):
        check_length(seconds, 4.0, "--seconds")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 TB")])
def test_a_lack_of_memory_is_one_line(error: Exception) -> None:
    with (
        pytest.raises(UserError, match="not enough memory for a clip of 60 s; choose a shorter one"),
        enough_memory(60),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), enough_memory(60):
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (8, 3, r"--from \(8 s\) must come before --to \(3 s\)"),
        (3, 3, r"--from \(3 s\) must come before --to \(3 s\)"),
        (-1, 3, "--from is -1 s but must be 0 or more"),
        (3, 12, "--to is 12 s but the file lasts 10 s"),
        (float("nan"), 3, r"--from \(nan s\) must come before"),
        (3, 3.001, "is shorter than a latent frame, 0.04 s; widen it"),
        (0, 10, "is the whole clip; leave a part of it"),
    ],
)
def test_a_span_that_cannot_be_filled_is_named(start: float, end: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        span_between(start, end, 10.0, LATENT, "in.wav")


def test_a_span_inside_the_clip_is_taken() -> None:
    assert span_between(3, 8, 10.0, LATENT, "in.wav").boundaries == pytest.approx((3.0, 8.0))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seconds", "0", "--seconds is 0 but must be more than 0"),
        ("--seconds", "inf", "--seconds inf: give a finite number"),
        ("--guidance", "nan", "--guidance nan: give a finite number"),
        ("--guidance", "-inf", "--guidance -inf: give a finite number"),
    ],
)
def test_numbers_that_make_no_clip_are_named(
    option: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.wav"
    line = ["sample", "--prompt", "a song", "--checkpoint", str(tmp_path), "-o", str(out), f"{option}={value}"]
    assert status(line) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_clip_that_is_not_finite_is_not_written(value: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="samples that are not finite"):
        write_audio(tmp_path / "out.wav", np.array([0.0, value], np.float32), 16_000)
    assert list(tmp_path.iterdir()) == []
