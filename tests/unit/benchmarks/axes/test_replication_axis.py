"""Replication as an axis measures it: copies among a system's clips are named, and training clips are heard once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paradigm_bench.benchmarks.axes import replication
from paradigm_bench.benchmarks.axes.eval_set import EvalSet
from paradigm_bench.benchmarks.axes.replication import Replication, windows
from paradigm_bench.common.files import cache_dir
from paradigm_bench.corpora import Corpus, load_corpus

RATE, SECONDS, PROMPTS = 16_000, 2.0, 6


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("builtin", clips=40, seconds=3.0)


@pytest.fixture(scope="module")
def opened(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Replication, list[str], np.ndarray]:
    """The scorer with what it reported when it was made and the held-out clips (2n, N); its cache is its own."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(replication, "PART", 40)
    said: list[str] = []
    clips = load_corpus("builtin", clips=160, seconds=3.0).clips("test")[: 2 * PROMPTS]
    audio_BN = np.stack([clip.audio(RATE)[: round(SECONDS * RATE)] for clip in clips])
    eval_set = EvalSet(clips[:PROMPTS], audio_BN[:PROMPTS], RATE, None, (), ())  # type: ignore[arg-type]

    def again() -> Replication:
        return Replication(corpus, eval_set, audio_BN[PROMPTS:], lambda done, text: said.append(text))

    again()
    heard = len(said)
    files = {path: path.stat().st_mtime_ns for path in cache_dir("training_clips").rglob("*.npz")}
    max(files).write_bytes(b"no archive")
    scorer = again()
    assert heard == len(files) == len(windows(corpus.clips("train"), SECONDS)) / 40
    assert len(said) == heard + 1  # the broken file alone is made again
    monkeypatch.undo()
    return scorer, said, audio_BN


def test_progress_is_told_with_the_time_that_is_left(opened: tuple[Replication, list[str], np.ndarray]) -> None:
    assert re.fullmatch(r"replication: 40 of 80 training clips embedded, \d+ s left", opened[1][0])
    assert opened[1][1] == "replication: 80 of 80 training clips embedded, 0 s left"


def test_copies_are_named_and_others_are_not(
    opened: tuple[Replication, list[str], np.ndarray], corpus: Corpus, tmp_path: Path
) -> None:
    scorer, _, held_out = opened
    made = held_out[PROMPTS:].copy()  # real clips of other prompts, which are no copies
    first, second = corpus.clips("train")[7], corpus.clips("train")[31]
    made[2] = 0.3 * first.audio(RATE)[8_000 : 8_000 + made.shape[1]]  # from 0.5 s on, quieter
    noise = np.random.default_rng(0).standard_normal(made.shape[1]) * 0.1
    made[4] = second.audio(RATE)[: made.shape[1]] + noise * np.std(second.audio(RATE))
    (metrics, rows, details), pairs = scorer.score(made)
    told = details["replication"]
    found = {pair["item"]: pair for pair in told["closest"][:2]}
    prompts = [row["item"] for row in rows]
    assert found[prompts[2]]["training"] == first.id
    assert found[prompts[2]]["start"] + 0.5 - found[prompts[2]]["shift_seconds"] == pytest.approx(1.0, abs=0.5)
    assert found[prompts[4]]["training"] == second.id
    assert [row["replication_share_alignment"] for row in rows] == [0, 0, 1, 0, 1, 0]
    assert metrics["replication_share_alignment"].value == pytest.approx(2 / 6)
    assert metrics["replication_alignment"].better == "neither"
    assert {f"replication_{name}" for name in ("musicnn", "logmel", "alignment")} <= set(metrics)
    assert told["held_out"]["alignment"]["n"] == 2 * PROMPTS
    assert told["training_clips"] == told["training_clips_in_all"] == 80
    files = scorer.write(made, pairs, tmp_path, "arm-s0-abc")
    assert set(files) == {f"replication/{n}/{side}" for n in (1, 2, 3) for side in ("made", "training")}
    assert all(soundfile.info(tmp_path / path).frames == made.shape[1] for path in files.values())


def test_real_clips_are_seldom_too_near(opened: tuple[Replication, list[str], np.ndarray]) -> None:
    scorer, _, held_out = opened
    (metrics, *_), _ = scorer.score(held_out[:PROMPTS])
    assert metrics["replication_share_alignment"].value <= 1.01 / PROMPTS


def test_windows_cover_every_clip(corpus: Corpus) -> None:
    clips = corpus.clips("train")[:5]
    found = windows(clips, 2.0)
    assert sorted((w.clip.id, w.start) for w in found) == sorted((c.id, s) for c in clips for s in (0.0, 1.0))
    assert sorted(w.start for w in windows(clips[:1], 3.0)) == [0.0]
    assert sorted(w.start for w in windows(clips[:1], 4.0)) == [0.0]  # zeros follow the clip
    assert sorted(w.start for w in windows(clips[:1], 1.25)) == [0.0, 1.25, 1.75]
