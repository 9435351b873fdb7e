"""Rounds of reward fine-tuning: the model generates clips, a reward scores them, and the model is trained on them.

    folder/
        tune.jsonl    one line per round, before training in it: reward of the watched clips and of all clips, effective
                      number of clips after weighting, diversity and distance; the last line is after tuning
        round-NN/     the clips of the round (pool.safetensors), and a run of the training loop
        final/        the weights to use: those of the last round before a collapse

The watched clips have the same captions and seeds in every round, so that only the model changes. Diversity is the mean
distance between the embeddings of two of them; distance is the mean distance of a clip's embedding from that of the
same clip before tuning. When the diversity falls below a share of what it was at first, tuning stops, and the weights
of the round before are the result (MaskAudioFlow 2025: a large tau makes the model collapse).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .. import paradigms
from ..common.config import config_hash, to_dict
from ..common.files import atomic_folder, write_tensors, write_text
from ..common.gpus import device_type
from ..common.seeds import Noise, item_rng, seed_for
from ..corpora import Clip
from ..paradigms.base import Conditions, Paradigm
from ..paradigms.pipeline import Pipeline, load_model, read_settings, save_model, to_audio
from ..representations.latents.encoded import EncodedSplit
from .loop import train
from .rewards import Reward
from .tuning import Regularised, RewardedStream, TuneSpec, relative, reward_weights

GENERATED_AT_ONCE = 16
Report = Callable[[float, str], None]


class Embedder(Protocol):
    """What says how diverse clips are: every evaluator does."""

    def embed(self, audio: list[np.ndarray], sample_rate: int) -> np.ndarray:
        """Embeddings (n, d) of mono clips."""
        ...


@dataclass(frozen=True)
class Tuned:
    """Result of tuning.

    Attributes:
        final: folder of the weights.
        rounds: the lines of tune.jsonl.
        kept: the round whose weights these are; 0: those before tuning.
        collapsed: whether tuning stopped because the clips lost diversity.
        updates, cpu_seconds, wall_seconds: of all rounds, generation and scoring included.
    """

    final: Path
    rounds: list[dict[str, float]]
    kept: int
    collapsed: bool
    updates: int
    cpu_seconds: float
    wall_seconds: float

    @property
    def record(self) -> dict[str, Any]:
        """What records keep of it: one list per figure of tune.jsonl."""
        columns = {name: [line[name] for line in self.rounds] for name in self.rounds[0]}
        return {"kept_round": self.kept, "collapsed": self.collapsed, **columns}


@dataclass(frozen=True)
class Pool:
    """Clips that a model generated for a round.

    Attributes:
        clips: the training clips whose captions were asked for.
        drawn: the output of the model, codes (n, K, T) or normalised latents (n, T, D).
        audio_BN: the same as waveforms.
        rewards: one score per clip.
    """

    clips: list[Clip]
    drawn: Tensor
    audio_BN: np.ndarray
    rewards: np.ndarray


class Tuner:
    """One tuning in one folder; see ``tune``."""

    def __init__(
        self, pipeline: Pipeline, sampler: Any, clips: Sequence[Clip], reward: Reward, embedder: Embedder,
        spec: TuneSpec, folder: Path, noise: Noise,
    ) -> None:  # fmt: skip
        self.pipeline, self.sampler, self.reward, self.embedder = pipeline, sampler, reward, embedder
        self.spec, self.folder, self.noise = spec, folder, noise
        self.watched = _drawn(clips, spec.watched, spec.group, spec.seed, "watched")
        self.others = sorted(clips, key=lambda clip: clip.id)
        self.rate = pipeline.representation.spec.sample_rate

    def pool(self, model: Paradigm, number: int, last: bool) -> Pool:
        """The clips of round ``number``, the watched ones first; after the ``last`` round only these."""
        spec, where = self.spec, self.folder / f"round-{number:02d}"
        fresh = [] if last else _drawn(self.others, spec.clips - spec.watched, spec.group, spec.seed, number)
        clips = [*self.watched, *fresh]
        seeds = [seed_for(spec.seed, "watched", i, clip.id) for i, clip in enumerate(self.watched)]
        seeds += [seed_for(spec.seed, number, i, clip.id) for i, clip in enumerate(fresh)]
        drawn = self._generate(model, clips, seeds, where / "pool.safetensors")
        samples = round(self.pipeline.seconds * self.rate)
        audio_BN = np.concatenate(
            [to_audio(part, model, self.pipeline.representation, samples) for part in drawn.split(GENERATED_AT_ONCE)]
        )
        rewards = self.reward.score(list(audio_BN), self.rate, [clip.caption for clip in clips])
        self.reward.check_useful(rewards)
        return Pool(clips, drawn, audio_BN, rewards)

    def _generate(self, model: Paradigm, clips: Sequence[Clip], seeds: list[int], path: Path) -> Tensor:
        """The model's output for the captions, codes or normalised latents; read from ``path`` if it is there."""
        weights = [float(p.detach().double().sum()) for p in model.parameters()]
        key = config_hash([[clip.caption for clip in clips], seeds, to_dict(self.sampler), weights, self.noise])
        if path.exists() and (found := load_file(path).get(key)) is not None:
            return found
        model = model.to(device_type()).eval()
        device, frames = next(model.parameters()).device, model.latent.frames(self.pipeline.seconds)
        parts = []
        for start in range(0, len(clips), GENERATED_AT_ONCE):
            part = slice(start, start + GENERATED_AT_ONCE)
            text, mask_BL = self.pipeline.text.encode([clip.caption for clip in clips[part]])
            conditions, rng = Conditions(text, mask_BL).to(device), item_rng(seeds[part], device, self.noise)
            parts.append(model.generate(conditions, frames, self.sampler, rng).cpu())
        model.release_sessions()  # it is trained next, which needs the memory
        write_tensors(path, {key: torch.cat(parts)}, {})
        return torch.cat(parts)

    def stream(self, model: Paradigm, pool: Pool, number: int) -> RewardedStream:
        """The generated clips of a round with their rewards, as a stream of training batches."""
        codes = model.view == "codes"
        raw = self.pipeline.representation.dequantise(pool.drawn) if codes else model.latent.denormalise(pool.drawn)
        frames, held = [raw.shape[1]] * len(raw), list(pool.drawn.to(torch.int16)) if codes else None
        split = EncodedSplit(pool.clips, frames, list(raw.float()), held)
        return RewardedStream(
            split, pool.rewards.tolist(), self.spec, model.latent, self.pipeline.text,
            self.spec.training(self.pipeline.seconds, number), noise=self.noise,
        )  # fmt: skip

    def line(self, number: int, pool: Pool, before: np.ndarray | None) -> tuple[dict[str, float], np.ndarray]:
        """A line of the log, and the embeddings of the watched clips."""
        watched = self.spec.watched
        embeddings = self.embedder.embed(list(pool.audio_BN[:watched]), self.rate)
        moved = 0.0 if before is None else float(np.linalg.norm(embeddings - before, axis=1).mean())
        weights = reward_weights(relative(pool.rewards.tolist(), self.spec.group), self.spec.tau).double()
        return {
            "round": number,
            "reward_watched": float(pool.rewards[:watched].mean()),
            "reward": float(pool.rewards.mean()),
            "effective_clips": float(weights.sum() ** 2 / weights.square().sum()),
            "diversity": diversity(embeddings),
            "distance": moved,
        }, embeddings


def tune(
    checkpoint: Path, clips: Sequence[Clip], reward: Reward, embedder: Embedder, spec: TuneSpec, folder: Path,
    *, sampler: Mapping[str, Any] | None = None, report: Report | None = None, noise: Noise = "philox",
) -> Tuned:  # fmt: skip
    """Tune the model in ``checkpoint`` by reward; a tuning that was stopped in ``folder`` is resumed.

    Args:
        clips: training clips whose captions are asked for.
        embedder: says how diverse clips are and how far they moved.
        sampler: settings in place of the checkpoint's.
        report: called with the fraction done and a line of text.
        noise: how random numbers are drawn (``common.seeds``).

    Raises:
        UserError: all clips of a round have the same score; and what the training loop raises.
    """
    pipeline, settings = load_model(checkpoint), read_settings(checkpoint)
    settings = replace(settings, sampler=dict(sampler or settings.sampler))
    tuner = Tuner(pipeline, pipeline.model.sampler(settings.sampler), clips, reward, embedder, spec, folder, noise)
    objective, model, kept = Regularised(pipeline.model, spec.penalty), pipeline.model, 0
    lines: list[dict[str, float]] = []
    before: np.ndarray | None = None
    wall, cpu = time.perf_counter(), time.process_time()

    def save(model: Paradigm, target: Path) -> None:
        save_model(model, target, settings)

    for number in range(1, spec.rounds + 2):
        last = number > spec.rounds
        pool = tuner.pool(model, number, last)
        line, embeddings = tuner.line(number, pool, before)
        before = embeddings if before is None else before
        lines.append(line)
        write_text(folder / "tune.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        if report is not None:
            report((number - 1) / spec.rounds, tell(line))
        collapsed = line["diversity"] < spec.collapse * lines[0]["diversity"]
        if collapsed or last:
            break
        kept = number
        result = train(
            model, tuner.stream(model, pool, number), spec.training(pipeline.seconds, number),
            folder / f"round-{number:02d}", progress=False, save=save, objective=objective,
        )  # fmt: skip
        model = paradigms.load(result.final)
    updates, kept = kept * spec.updates, kept - collapsed
    with atomic_folder(folder / "final") as temporary:
        shutil.copytree(folder / f"round-{kept:02d}" / "final" if kept else checkpoint, temporary, dirs_exist_ok=True)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    return Tuned(folder / "final", lines, kept, collapsed, updates, *spent)


def tell(line: Mapping[str, float]) -> str:
    """A line of tune.jsonl as text."""
    return (
        f"round {line['round']:.0f}: reward {line['reward_watched']:.3f}, diversity {line['diversity']:.3f}, "
        f"distance {line['distance']:.3f}"
    )


def diversity(embeddings: np.ndarray) -> float:
    """Mean Euclidean distance between two different clips of (n, d)."""
    n = len(embeddings)
    gaps = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    return float(gaps.sum() / (n * (n - 1)))


def _drawn(clips: Sequence[Clip], n: int, group: int, *seed: object) -> list[Clip]:
    """``n`` clips in an order that ``seed`` decides, each ``group`` times; from the first again if there are fewer."""
    order = sorted(clips, key=lambda clip: seed_for(*seed, clip.id))
    return [order[i // group % len(order)] for i in range(n)]
