"""Training of a codec: the interface of trainers, the data, and the loop with its log, checkpoints and record.

A recipe (``recipes.py``) is a frozen dataclass of settings that makes its trainer. A trainer holds the model, its
moving average and its optimisers, makes one update from a batch of crops, and can be saved and restored. The budget is
a number of updates, or the clock. ``train_codec`` fills a folder:

    codec.safetensors, codec.json    the codec (averaged weights) as of the last snapshot, ready for ``load_codec``; the
                                     JSON states the command, budget, corpora, machine and measured quality
    checkpoint.safetensors, .json    what an interrupted run continues from; removed when training ends
    log.jsonl                        one line per 50 steps

    bench codec train --out DIR --cpu-seconds 2500 --corpus builtin:0.7,FOLDER:0.3
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ...common.config import config_hash, to_dict
from ...common.errors import UserError
from ...common.files import read_json, write_json, write_tensors
from ...common.seeds import seed_for
from ...corpora import Corpus, load_corpus
from ..base import Representation, fit_length
from .builtin import BuiltinVAE
from .losses import gaussian_kl, log_mel_distance, perplexity, si_snr

CROPS_MEMORY = 4 * 2**30  # bytes of decoded clips kept in memory; clips beyond that are read again
LOG_EVERY = 50  # steps
EVALUATION_CLIPS = 64  # per corpus, at the end
SNAPSHOT_CLIPS = 16  # per corpus, at a snapshot
EVALUATION_SECONDS = 4.0

WeightedCorpora = Sequence[tuple[Corpus, float]]


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """The settings that all recipes share.

    Args:
        steps: budget in updates; 0: the clock is the budget, as follows.
        cpu_seconds: budget in seconds of this process's CPU time.
        wall_seconds: budget in seconds of wall-clock time, for busy machines; whichever ends first counts.
        batch: crops per update.
        learning_rate: of the optimiser, at its peak.
        ema: decay of the averaged weights.
        snapshot_seconds: CPU seconds between checkpoints; each also writes a usable codec.
        seed: of the initial weights, the crops and the noise.
    """

    steps: int = 0
    cpu_seconds: float = 2500.0
    wall_seconds: float = 36000.0
    batch: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    ema: float = 0.998
    snapshot_seconds: float = 200.0
    seed: int = 0

    def check(self, *positive: str) -> None:
        """Raise a UserError where a number is out of range; ``positive`` are further fields that must be above 0."""
        for name in ("cpu_seconds", "wall_seconds", "batch", "learning_rate", *positive):
            if getattr(self, name) <= 0:
                raise UserError(f"codec training: {name} must be above 0, not {getattr(self, name)}")
        if self.steps < 0:
            raise UserError(f"codec training: steps must be 0 (a budget by the clock) or more, not {self.steps}")

    def trainer(self) -> CodecTrainer:
        """A new run of the recipe."""
        raise NotImplementedError


class CodecTrainer:
    """State of one run; subclasses train one family of codecs.

    Attributes:
        average: the representation that is trained, with averaged weights.
        modules: the modules of a checkpoint, by the prefix of their tensors' names; ``"average."`` is one of them.
        buffers: modules whose buffers a checkpoint needs beyond their state dict, by prefix.
        optimisers: by prefix.
        crop_samples: length of a training crop, samples.
    """

    average: Representation
    modules: Mapping[str, nn.Module]
    buffers: Mapping[str, nn.Module] = MappingProxyType({})
    optimisers: Mapping[str, torch.optim.Optimizer]
    crop_samples: int

    def __init__(self, recipe: CodecRecipe) -> None:
        self.recipe = recipe
        self.step, self.cpu_seconds, self.wall_seconds = 0, 0.0, 0.0

    @property
    def progress(self) -> float:
        """Fraction of the budget that is used: 0 at the start, 1 or more at the end."""
        recipe = self.recipe
        if recipe.steps:
            return float(self.step / recipe.steps)
        return float(max(self.cpu_seconds / recipe.cpu_seconds, self.wall_seconds / recipe.wall_seconds))

    @property
    def can_checkpoint(self) -> bool:
        """Whether ``checkpoint`` would hold the whole state at this step."""
        return True

    def generator(self) -> torch.Generator:
        """The random numbers of this step, on the CPU."""
        return torch.Generator().manual_seed(seed_for(self.recipe.seed, "step", self.step))

    def start(self, crops: Crops) -> None:
        """Called before the first step of a new run."""

    def start_from(self, folder: Path) -> dict[str, Any]:
        """Begin a new run with the weights in ``folder``, in place of ``start``; returns for the record what they were.

        Raises:
            UserError: this recipe cannot, or the weights do not fit it.
        """
        raise UserError("only the recipes codec and vae can start from the weights of another run; leave --init out")

    def train_step(self, wav_BN: Tensor) -> dict[str, float]:
        """One update on crops (B, N); returns the loss terms, and their sum as ``loss``."""
        raise NotImplementedError

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The state that ``restore`` takes: (ready for JSON, tensors by name)."""
        tensors = {f"{prefix}{n}": t for prefix, m in self.modules.items() for n, t in m.state_dict().items()}
        tensors |= {f"{prefix}{n}": t for prefix, m in self.buffers.items() for n, t in m.named_buffers()}
        for prefix, optimiser in self.optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                tensors |= {f"{prefix}{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        times = {"cpu_seconds": self.cpu_seconds, "wall_seconds": self.wall_seconds}
        return {"step": self.step, **times}, tensors

    def restore(self, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Continue from what ``checkpoint`` returned; to be called before the first step."""
        self.step, self.cpu_seconds, self.wall_seconds = state["step"], state["cpu_seconds"], state["wall_seconds"]
        for prefix, module in self.modules.items():
            module.load_state_dict(with_prefix(tensors, prefix))
        for prefix, module in self.buffers.items():
            for name, tensor in with_prefix(tensors, prefix).items():
                module.get_buffer(name).copy_(tensor)
        for prefix, optimiser in self.optimisers.items():
            values = optimiser.state_dict()
            for name, tensor in with_prefix(tensors, prefix).items():
                index, _, key = name.partition(".")
                values["state"].setdefault(int(index), {})[key] = tensor
            optimiser.load_state_dict(values)

    def save(self, folder: Path, record: dict[str, Any]) -> None:
        """Write ``average`` and ``record`` (how it was made) to ``folder``."""
        raise NotImplementedError

    def reference(self, folder: Path) -> str:
        """The argument with which ``load_representation`` loads the result from ``folder``."""
        return str(folder)


class Crops:
    """Seeded random crops of ``samples`` from several corpora; clips are kept as int16. Weights need not sum to 1."""

    def __init__(self, corpora: WeightedCorpora, sample_rate: int, samples: int, seed: int) -> None:
        self.sample_rate, self.samples, self.seed = sample_rate, samples, seed
        self._clips = [corpus.clips("train") for corpus, _ in corpora]
        weights = np.array([weight for _, weight in corpora], dtype=float)
        self._chance = weights / weights.sum()
        self._audio: dict[tuple[int, int], np.ndarray] = {}
        self._bytes = 0

    def batch(self, step: int, size: int) -> Tensor:
        """The crops of ``step``, (size, N) float32; they depend on the seed and the step only."""
        rng = np.random.default_rng(seed_for(self.seed, "crops", step))
        return torch.from_numpy(np.stack([self._draw(rng) for _ in range(size)]))

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        which = int(rng.choice(len(self._clips), p=self._chance))
        audio = self._clip(which, int(rng.integers(len(self._clips[which]))))
        start = int(rng.integers(max(1, len(audio) - self.samples + 1)))
        crop = audio[start : start + self.samples].astype(np.float32) / 32767
        return np.pad(crop, (0, self.samples - len(crop)))

    def _clip(self, which: int, index: int) -> np.ndarray:
        """Clip ``index`` of corpus ``which`` as int16 samples."""
        if (which, index) in self._audio:
            return self._audio[which, index]
        audio = self._clips[which][index].audio(self.sample_rate)
        samples: np.ndarray = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
        if self._bytes + samples.nbytes <= CROPS_MEMORY:
            self._audio[which, index] = samples
            self._bytes += samples.nbytes
        return samples


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of parameters, with less decay in the first steps; buffers are copied."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), model.parameters()):
        mean.lerp_(value, 1 - decay)
    for name, buffer in model.named_buffers():
        average.get_buffer(name).copy_(buffer)


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix``, by the rest of the name."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def train_codec(
    corpora: WeightedCorpora,
    recipe: CodecRecipe,
    folder: Path,
    command: str = "",
    report: Callable[[str], None] = print,
    init: Path | None = None,
) -> str:
    """Train a codec or VAE on weighted corpora and write it to ``folder``; an interrupted run is continued.

    Args:
        corpora: (corpus, weight) pairs; only their train splits are used.
        command: how the run was started, for the record.
        report: called with a line of progress at each log step.
        init: folder of a codec whose weights the run starts from.

    Returns:
        the argument with which ``load_representation`` loads the result.

    Raises:
        UserError: ``folder`` holds a checkpoint of another configuration.
    """
    trainer = recipe.trainer()
    crops = Crops(corpora, trainer.average.spec.sample_rate, trainer.crop_samples, recipe.seed)
    before = trainer.start_from(init) if init else {}
    if not _resume(trainer, folder) and not init:
        trainer.start(crops)
    cpu_start, wall_start = time.process_time() - trainer.cpu_seconds, time.monotonic() - trainer.wall_seconds
    snapshot_due = trainer.cpu_seconds + recipe.snapshot_seconds
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        while trainer.progress < 1:
            values = trainer.train_step(crops.batch(trainer.step, recipe.batch))
            trainer.cpu_seconds = time.process_time() - cpu_start
            trainer.wall_seconds = time.monotonic() - wall_start
            if trainer.step % LOG_EVERY == 0:
                line = {"step": trainer.step, "cpu_seconds": round(trainer.cpu_seconds, 1)}
                log.write(json.dumps({**line, **values}) + "\n")
                log.flush()
                left = trainer.wall_seconds * (1 / trainer.progress - 1)
                report(f"codec: step {trainer.step}, loss {values['loss']:.3f}, about {left / 60:.0f} min left")
            if trainer.cpu_seconds >= snapshot_due and trainer.can_checkpoint:
                snapshot_due = trainer.cpu_seconds + recipe.snapshot_seconds
                state, tensors = trainer.checkpoint()
                write_tensors(folder / "checkpoint.safetensors", tensors)
                write_json(folder / "checkpoint.json", {**state, "config": config_hash(recipe)})
                trainer.save(folder, {**_record(trainer, corpora, command, SNAPSHOT_CLIPS), **before})
    trainer.save(folder, {**_record(trainer, corpora, command, EVALUATION_CLIPS), **before})
    for name in ("checkpoint.json", "checkpoint.safetensors"):
        (folder / name).unlink(missing_ok=True)
    return trainer.reference(folder)


@torch.no_grad()
def evaluate_codec(codec: Representation, corpus: Corpus, max_clips: int) -> dict[str, Any]:
    """Quality of reconstruction on held-out clips (the valid split, or test if it is empty), first 4 s of each.

    Returns:
        mean SI-SNR (dB) and log-mel distance (nats) through the continuous latents and, with codebooks, through the
        codes; perplexity per codebook; a VAE's divergence in nats per frame; the latents' standard deviation; and
        the split, the number of clips and the corpus' fingerprint.
    """
    split = "valid" if corpus.clips("valid") else "test"
    clips = corpus.clips(split)[:max_clips]
    rate, rows, codes, latents, divergence = codec.spec.sample_rate, [], [], [], []
    for clip in clips:
        wav_BN = torch.from_numpy(clip.audio(rate))[None, : round(EVALUATION_SECONDS * rate)].to(codec.device)
        z_BTD = codec.encode(wav_BN)
        views = {"": z_BTD}
        if codec.spec.codebooks:
            codes.append(codec.quantise(z_BTD)[0])
            views["rvq_"] = codec.dequantise(codes[-1][None])
        if isinstance(codec, BuiltinVAE):
            divergence.append(gaussian_kl(*codec.posterior(wav_BN)).mean())
        row = {}
        for view, view_BTD in views.items():  # the waveform that is decoded from it, compared with the clip
            estimate_BN = fit_length(codec.decode(view_BTD), wav_BN.shape[-1])
            row[f"{view}si_snr_db"] = si_snr(wav_BN, estimate_BN).item()
            row[f"{view}log_mel_l1"] = log_mel_distance(wav_BN, estimate_BN, rate).item()
        rows.append(row)
        latents.append(z_BTD[0])
    source = {"split": split, "n": len(clips), "corpus_fingerprint": corpus.fingerprint}
    means = {name: round(sum(row[name] for row in rows) / len(rows), 3) for name in rows[0]}
    used = perplexity(torch.cat(codes, dim=1), codec.spec.cardinality).tolist() if codes else []
    extra: dict[str, Any] = {"perplexity": [round(p, 1) for p in used]} if codes else {}
    extra |= {"kl_nats_per_frame": round(torch.stack(divergence).mean().item(), 2)} if divergence else {}
    return {**source, **means, **extra, "std": round(torch.cat(latents).std().item(), 3)}


def _record(trainer: CodecTrainer, corpora: WeightedCorpora, command: str, clips: int) -> dict[str, Any]:
    """How the codec was made and how well it does, for the JSON file beside the weights."""
    held_out = [corpus for corpus, _ in corpora if corpus.clips("valid") or corpus.clips("test")]
    metrics = {corpus.name: evaluate_codec(trainer.average, corpus, clips) for corpus in held_out}
    return {
        "training": to_dict(trainer.recipe),
        "command": command,
        "cpu_seconds": round(trainer.cpu_seconds, 1),
        "wall_seconds": round(trainer.wall_seconds, 1),
        "steps": trainer.step,
        "corpora": [{"name": c.name, "fingerprint": c.fingerprint, "weight": weight} for c, weight in corpora],
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__},
        "metrics": metrics,
    }


def _resume(trainer: CodecTrainer, folder: Path) -> bool:
    """Load the checkpoint of ``folder`` into ``trainer``; False if there is none.

    Raises:
        UserError: the checkpoint has another configuration.
    """
    if not (folder / "checkpoint.json").exists():
        return False
    state = read_json(folder / "checkpoint.json")
    if state["config"] != config_hash(trainer.recipe):
        raise UserError(f"{folder} holds a checkpoint of another configuration; choose another folder or delete it")
    trainer.restore(state, load_file(folder / "checkpoint.safetensors"))
    return True


def parse_corpora(text: str) -> list[tuple[Corpus, float]]:
    """``"builtin:0.7,FOLDER:0.3"`` -> corpora with weights; a missing weight is 1."""
    pairs = []
    for part in text.split(","):
        spec, _, weight = part.rpartition(":")
        weighted = bool(spec) and weight.replace(".", "", 1).isdigit()
        pairs.append((load_corpus(spec), float(weight)) if weighted else (load_corpus(part), 1.0))
    return pairs
