"""A codec, an evaluator and settings of the smallest size, for tests of the axes that train arms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from paradigm_bench.benchmarks.evaluators.builtin.training import EvaluatorConfig, train_evaluator
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations.codecs.builtin import BuiltinCodec, CodecConfig, save_codec

SECONDS = 1.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a codec and an evaluator, and a cache of its own."""
    folder = tmp_path_factory.mktemp("fidelity")
    torch.manual_seed(0)
    save_codec(
        BuiltinCodec(dataclasses.replace(CodecConfig(), width=16, codebooks=2, cardinality=16)), folder / "codec", {}
    )
    corpus = load_corpus("builtin", clips=12, seconds=SECONDS)
    train_evaluator(corpus, None, EvaluatorConfig(steps=2, cpu_seconds=2.0), folder / "evaluator", progress=False)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(home / "cache"))


def settings(home: Path) -> list[str]:
    return [
        f"representation={home / 'codec'}", f"evaluation.evaluator={home / 'evaluator'}", "evaluation.prompts=4",
        "evaluation.judges=[logmel]",
        f"corpus.seconds={SECONDS}", f"train.seconds={SECONDS}", "corpus.clips=12", "train.batch=2", "train.updates=2",
        "train.snapshots=[1]", "train.warmup=1", "train.log_every=1", "jobs=2",
        "backbone.overrides={d_model: 16, d_ff: 16}",
    ]  # fmt: skip
