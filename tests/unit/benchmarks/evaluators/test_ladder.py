"""The ladder on a tiny corpus: what judges notice, a deaf judge, and going on after an interruption."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from paradigm_bench.benchmarks.analysis.validation import ChainInfo, Validation
from paradigm_bench.benchmarks.evaluators import Evaluator, EvaluatorOutput, get_evaluator, ladder
from paradigm_bench.benchmarks.evaluators.ladder import LadderSet, measure_ladder
from paradigm_bench.benchmarks.metrics.degradations import CHAINS
from paradigm_bench.benchmarks.study.cells import Content, Identity
from paradigm_bench.common.errors import UserError

RATE, N = 16_000, 32
TONES = (220, 330, 440, 550, 660)  # Hz, at the middle of a frequency bin of a clip of one second
SHORT = [CHAINS[name] for name in ("noise", "low_pass", "clipping", "dropouts", "exchanged", "loudness")]


class Deaf(Evaluator):
    """Measures how loud five tones are against each other, and nothing between them: it cannot notice noise."""

    name, identity, classes = "deaf", "1", {"tone": [str(hz) for hz in TONES]}
    calls = 0

    def evaluate(
        self, audio: Sequence[np.ndarray], sample_rate: int, captions: Sequence[str] | None = None
    ) -> EvaluatorOutput:
        self.calls += 1
        tones = np.stack([np.abs(np.fft.rfft(np.asarray(wav, np.float64)))[list(TONES)] for wav in audio])
        share = np.round(tones / tones.sum(1, keepdims=True), 1) + 1e-3
        share /= share.sum(1, keepdims=True)
        named = None if captions is None else np.array([row[TONES.index(int(c))] for row, c in zip(share, captions)])
        return EvaluatorOutput(share, {"tone": share}, named)


def corpus() -> LadderSet:
    """Clips of one second: a tone of five with bright harmonics that decay, asked for by its frequency."""
    rng, time = np.random.default_rng(0), np.arange(RATE) / RATE

    def clip(hz: int) -> np.ndarray:
        harmonics = sum(np.sin(2 * np.pi * k * hz * time + rng.uniform(0, 6)) / k for k in range(1, 7000 // hz))
        wav = harmonics * np.exp(-rng.uniform(1, 3) * time) * rng.uniform(0.1, 0.4)
        return (wav + 1e-4 * rng.standard_normal(RATE)).astype(np.float32)

    asked = [TONES[i % len(TONES)] for i in range(N)]
    names = [str(hz) for hz in asked]
    return LadderSet(
        [f"clip-{i}" for i in range(N)], names, [{"tone": name} for name in names],
        [clip(hz) for hz in asked], [clip(hz) for hz in asked], RATE,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))


def measured(*evaluators: Evaluator) -> Validation:
    metrics = measure_ladder(corpus(), evaluators, lambda *_: None, SHORT)
    chains = {c.name: ChainInfo(c.title, c.unit, c.required_of, tuple(map(str, c.steps))) for c in SHORT}
    own = tuple(Identity(one.name, one.identity) for one in evaluators)
    return Validation(Content("toy", "1"), "test", 1.0, RATE, N, own, chains, metrics)


def test_a_judge_that_hears_climbs_and_a_deaf_one_does_not() -> None:
    found = measured(get_evaluator("logmel"), Deaf())
    for chain in ("noise", "low_pass", "dropouts"):
        assert found.orders("kad_logmel", chain), chain
    assert found.problem("kad_logmel") == ""
    assert found.margin("kad_logmel") > 0  # type: ignore[operator]
    assert not found.moves_with_loudness("kad_logmel")
    assert "does not notice white noise" in found.problem("kad_deaf")
    assert "does not notice white noise" in found.problem("kl_deaf")


class Level(Deaf):
    """Measures the level of a clip, which other evaluators take away before they listen."""

    name, classes = "level", {}

    def evaluate(
        self, audio: Sequence[np.ndarray], sample_rate: int, captions: Sequence[str] | None = None
    ) -> EvaluatorOutput:
        levels = np.array([[20 * np.log10(np.sqrt(np.mean(np.square(wav))) + 1e-9), np.ptp(wav)] for wav in audio])
        return EvaluatorOutput(levels, {}, None)


def test_a_metric_that_moves_with_loudness_is_told() -> None:
    assert measured(Level()).moves_with_loudness("kad_level")


def test_a_deaf_judge_may_still_read_captions() -> None:
    found = measured(Deaf())
    assert found.orders("clap_deaf", "exchanged")
    assert found.orders("adherence_deaf", "exchanged")
    assert found.problem("clap_deaf") == ""
    assert found.notices_from("kad_deaf", "exchanged") is None  # the set is the same
    assert found.margin("adherence_deaf") == pytest.approx(
        0.05 * abs(found.metrics["adherence_deaf"].chains["exchanged"][-1].difference)
    )


def test_an_interrupted_measurement_goes_on_and_a_finished_one_is_not_measured_again(tmp_path: Path) -> None:
    done = []

    def stop(number: int, total: int, name: str, known: bool) -> None:
        done.append((name, known))
        if number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_ladder(corpus(), [Deaf()], stop, SHORT)
    assert done == [(name, False) for name in ("clean", "noise-40", "noise-30", "noise-20", "noise-10")]
    again = Deaf()
    states: dict[str, bool] = {}
    first = measure_ladder(corpus(), [again], lambda *a: states.update({a[2]: a[3]}), SHORT)
    assert [name for name, known in states.items() if known] == ["clean", "noise-40", "noise-30", "noise-20"]
    third = Deaf()
    assert measure_ladder(corpus(), [third], lambda *_: None, SHORT) == first
    assert third.calls == 0
    assert not list(tmp_path.rglob("*.part*"))


def test_a_broken_step_says_how_to_mend_it(tmp_path: Path) -> None:
    measure_ladder(corpus(), [Deaf()], lambda *_: None, SHORT)
    file = next(tmp_path.rglob("noise-20.json"))
    file.write_text("{")
    with pytest.raises(UserError, match=r"noise-20.json.*delete it, and it is made again"):
        measure_ladder(corpus(), [Deaf()], lambda *_: None, SHORT)


def test_another_evaluator_or_other_clips_are_measured_anew() -> None:
    measure_ladder(corpus(), [Deaf()], lambda *_: None, SHORT)
    other, states = Deaf(), []
    other.identity = "2"  # type: ignore[misc]
    measure_ladder(corpus(), [other], lambda *a: states.append(a[3]), SHORT)
    assert not any(states)


def test_systems_without_a_model_are_measured_beside_the_degradations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "CHAINS", {"loudness": CHAINS["loudness"]})
    clips, noise = corpus(), np.random.default_rng(0).standard_normal((N, RATE)).astype(np.float32)
    systems = {"real": lambda: clips.audio, "noise": lambda: list(noise)}
    found = measure_ladder(dataclasses.replace(clips, references=systems), [get_evaluator("logmel")], lambda *_: None)
    real, worst = found["kad_logmel"].chains[ladder.REFERENCES]
    assert real.difference == 0.0
    assert worst.difference > 10
    assert list(found["kad_logmel"].chains) == ["loudness", ladder.REFERENCES]


def test_clips_that_cannot_be_scored_are_named() -> None:
    clips = corpus()
    clips.audio[3][0] = np.nan  # type: ignore[index]
    with pytest.raises(UserError, match="clip 3 holds NaN"):
        measure_ladder(clips, [get_evaluator("logmel")], lambda *_: None, SHORT)
