"""Made-up records of a fidelity study that is scored by a tagger and two judges, for tests of its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paradigm_bench.benchmarks.analysis.records import Record, load_records, save_record
from paradigm_bench.benchmarks.analysis.result_table import ResultTable, make_table
from paradigm_bench.benchmarks.analysis.validation import FOLDER, ChainInfo, Validation
from paradigm_bench.benchmarks.metrics.catalogue import about
from paradigm_bench.benchmarks.metrics.degradations import required_chains
from paradigm_bench.benchmarks.metrics.ladder import MetricLadder, StepScore
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.study.cells import Content, Identity
from paradigm_bench.common.config import config_hash, to_dict
from paradigm_bench.common.files import json_text, write_text
from paradigm_bench.training.budget import TrainingCost

N = 40  # prompts
SEEDS = (0, 1, 2)
UPDATES = (400, 800)  # a snapshot and the end
JUDGES = ("musicnn", "logmel")
METRICS = (
    "adherence_builtin", "clap_builtin", "fad_builtin", "kad_builtin", "kad_musicnn", "fad_musicnn", "kl_musicnn",
    "kad_logmel", "fad_logmel", "loudness_lufs", "peak",
)  # fmt: skip
# System -> how close it is to real audio by musicnn and by logmel, and how well it follows captions, from 0 to 1.
SYSTEMS = {
    "real": (1.0, 1.0, 1.0), "codec_continuous": (0.9, 0.9, 0.98), "codec_quantised": (0.88, 0.88, 0.97),
    "shuffled_captions": (1.0, 1.0, 0.15), "noise": (0.0, 0.0, 0.1), "silence": (-0.1, -0.1, 0.1),
    "retrieved": (0.97, 0.97, 0.75), "sine_chords": (0.3, 0.3, 0.6),
}  # fmt: skip
ARMS = {"fm": (0.7, 0.7, 0.85), "ar": (0.5, 0.5, 0.65), "mar": (0.6, 0.4, 0.65)}
SPAN = {"kad": 40.0, "fad": 200.0, "kl": 6.0}  # of a distance from real audio to noise


def save_judged_study(
    folder: Path,
    arms: Mapping[str, tuple[float, float, float]] = ARMS,
    seeds: tuple[int, ...] = SEEDS,
    trained_on: Mapping[str, tuple[str, ...]] | None = None,
    growth: float = 0.0,
    snapshots: bool = True,
) -> None:
    """Records of references, arms, seeds and snapshots in ``folder``.

    Args:
        arms: as ``SYSTEMS``; an arm's paradigm is its label up to the first hyphen.
        growth: by how much every closeness was lower at the snapshot than at the end.
    """
    for system, levels in SYSTEMS.items():
        _save(folder, system, levels, 0, None, ())
    declared = trained_on or {}
    for arm, levels in arms.items():
        for seed in seeds:
            for at in UPDATES if snapshots else UPDATES[-1:]:
                lower = growth if at < UPDATES[-1] else 0.0
                held = tuple(level - lower for level in levels)
                _save(folder, arm, held, seed, at, declared.get(arm, ()))  # type: ignore[arg-type]


def judged_table(folder: Path) -> ResultTable:
    """The study's table."""
    return make_table(folder.name, folder, load_records(folder)[0])


def save_validation(
    results: Path,
    broken: tuple[str, ...] = (),
    loud: tuple[str, ...] = (),
    metrics: tuple[str, ...] = METRICS,
    seconds: float = 4.0,
) -> None:
    """A validation of the study's corpus, in which every metric orders every chain; the margin of fidelity is 1.

    Args:
        broken: metrics for which the worst step scores better than the one before.
        loud: metrics that change with loudness.
        metrics: those that are validated, where anything can be.
        seconds: length of the clips.
    """
    names = [name for name in metrics if required_chains(name)]
    chains = dict.fromkeys(chain for name in names for chain in required_chains(name))
    labels = {"noise": ("30", "0")}
    infos = {
        chain: ChainInfo(f"the chain {chain}", "", "fidelity", labels.get(chain, ("1", "2")))
        for chain in (*chains, "loudness")
    }
    found = {}
    for name in names:
        worse = -0.4 if about(name).better == "higher" else 1.0
        own = {}
        for chain in required_chains(name):
            at = (30.0, 0.0) if chain == "noise" else (1.0, 2.0)
            second = -0.5 if name in broken else 2.0
            own[chain] = (_step(at[0], worse, worse), _step(at[1], worse * second, worse * (second - 1.0)))
        own["loudness"] = (
            _step(1.0, 0.0, 0.0, 1.0),
            _step(2.0, 3.0 * (name in loud), 0.0, 0.0 if name in loud else 1.0),
        )
        found[name] = MetricLadder(0.0, about(name).better, own)
    own_evaluators = tuple(Identity(name, f"{name}-id") for name in ("builtin", *JUDGES))
    validation = Validation(
        Content("c", "f"), "test", seconds, 16000, N, own_evaluators, infos, found, created="2026-01-01T00:00:00"
    )
    write_text(results / FOLDER / f"c-{seconds:g}.json", json_text(to_dict(validation)))


def _step(step: float, difference: float, change: float, p: float = 1e-6) -> StepScore:
    return StepScore(step, difference, difference, difference, difference, p, change, p)


def _cell(system: str, seed: int, at: int | None, trained_on: tuple[str, ...]) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "axis": "fidelity", "version": 1,
        "data": {
            "corpus": {"name": "c", "fingerprint": "f"}, "representation": {"name": "r", "fingerprint": "g"},
            "text": "builtin",
        },
        "evaluation": {
            "split": "test", "prompts": N, "seconds": 4.0, "sample_rate": 16000,
            "evaluator": {"name": "builtin", "identity": "builtin-id"},
            "judges": [{"name": name, "identity": f"{name}-id"} for name in JUDGES],
        },
        "seed": seed,
    }  # fmt: skip
    if at is None:
        return {**cell, "reference": system}
    train = {"updates": UPDATES[-1], "batch": 4, "seconds": 4.0, "lr": 1e-3, "warmup": 0, "seed": seed}
    model = {"paradigm": system.partition("-")[0], "options": {}, "backbone": {"d_model": 8, "n_layers": 2}}
    held = {**cell, "model": model, "train": train, "sampler": {"guidance": 2.0}, "at_updates": at}
    return held | ({"trained_on": list(trained_on)} if trained_on else {})


def _save(
    folder: Path,
    system: str,
    levels: tuple[float, float, float],
    seed: int,
    at: int | None,
    trained_on: tuple[str, ...],
) -> None:
    columns = {name: _scores(name, system, levels, seed, at) for name in METRICS}
    metrics = {
        name: metric(
            float(scores.mean()), low=float(scores.mean() - 2 * scores.std() / N**0.5),
            high=float(scores.mean() + 2 * scores.std() / N**0.5), n=N, better=about(name).better,
        )
        for name, scores in columns.items()
    }  # fmt: skip
    items = [
        {"item": f"p{i}", "caption": f"clip {i}", **{name: float(scores[i]) for name, scores in columns.items()}}
        for i in range(N)
    ]
    cell = _cell(system, seed, at, trained_on)
    curve = {"update": (100.0, 800.0), "loss": (2.0, 1.0), "cpu_seconds": (1.0, 10.0)}
    training = None if at is None else TrainingCost(at, at / 8, at / 8, at * 100, {"head": 5, "backbone": 7}, curve)
    record = Record(
        config_hash(cell), folder.name, "fidelity", system, "reference" if at is None else "paradigm", seed, "ok", cell,
        f"2026-01-01T00:00:{seed:02d}", at_updates=at, metrics=metrics, training=training,
        timing={} if at is None else {"seconds_per_clip": 0.25},
    )  # fmt: skip
    save_record(folder, record, items)


def _scores(name: str, system: str, levels: tuple[float, float, float], seed: int, at: int | None) -> np.ndarray:
    """A score per clip around what the system's closeness says; clips are alike, seeds differ little."""
    rng = np.random.default_rng([len(name), seed, len(system), at or 0])
    family, _, evaluator = name.partition("_")
    noise = rng.normal(0.0, 0.02, N) + rng.normal(0.0, 0.002)
    if name in ("loudness_lufs", "peak"):
        return {"loudness_lufs": -20.0, "peak": 0.8}[name] + noise
    if family in ("adherence", "clap"):
        return np.asarray(levels[2] + noise)
    close = levels[1] if evaluator == "logmel" else levels[0]
    bias = 20.0 if family == "fad" else 0.0  # of a Frechet distance at this n
    if family == "kl" and system == "shuffled_captions":
        close = 0.1
    return np.asarray(bias + SPAN[family] * (1.0 - close + noise))
