"""Runs of a codec's training: the clock, the log, checkpoints to resume from, and the record beside the weights.

The folder that ``train_codec`` fills:

    codec.safetensors, codec.json    the codec (averaged weights) as of the last snapshot, ready for ``load_codec``; the
                                     JSON says which command, budget, corpora and machine made it and how well it does
    checkpoint.safetensors, .json    what a run needs to go on after an interruption; removed when it is done
    log.jsonl                        one line per 50 steps

    bench codec train --out DIR --cpu-seconds 2500 --corpus builtin:0.7,FOLDER:0.3
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...common.config import config_hash, to_dict
from ...common.errors import UserError
from ...common.files import read_json, write_json, write_tensors
from ...corpora import Corpus, load_corpus
from ..base import Representation, fit_length
from .builtin import BuiltinVAE
from .losses import gaussian_kl, log_mel_distance, perplexity, si_snr
from .recipes import Recipe, trainer_for
from .trainer import Crops, Trainer

LOG_EVERY = 50  # steps
EVALUATION_CLIPS = 64  # per corpus, at the end
SNAPSHOT_CLIPS = 16  # per corpus, at a snapshot
EVALUATION_SECONDS = 4.0


def train_codec(
    corpora: Sequence[tuple[Corpus, float]],
    config: Recipe,
    folder: Path,
    command: str = "",
    report: Callable[[str], None] = print,
) -> str:
    """Train a codec or VAE on weighted corpora and write it to ``folder``; an interrupted run goes on from there.

    Args:
        corpora: (corpus, weight) pairs; only their train splits are heard.
        command: how the run was started, for the record.
        report: gets a line of progress at each log step.

    Returns:
        what ``load_representation`` calls the result.

    Raises:
        UserError: ``folder`` holds a checkpoint of another configuration.
    """
    trainer = trainer_for(config)
    crops = Crops(corpora, trainer.average.spec.sample_rate, trainer.crop_samples, config.seed)
    if not _resume(trainer, folder):
        trainer.start(crops)
    cpu_start, wall_start = time.process_time() - trainer.cpu_seconds, time.monotonic() - trainer.wall_seconds
    snapshot_due = trainer.cpu_seconds + config.snapshot_seconds
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        while trainer.progress < 1:
            trainer.set_phase()
            values = trainer.train_step(crops.batch(trainer.step, config.batch))
            trainer.cpu_seconds = time.process_time() - cpu_start
            trainer.wall_seconds = time.monotonic() - wall_start
            if trainer.step % LOG_EVERY == 0:
                line = {"step": trainer.step, "phase": trainer.phase, "cpu_seconds": round(trainer.cpu_seconds, 1)}
                log.write(json.dumps({**line, **values}) + "\n")
                log.flush()
                left = trainer.wall_seconds * (1 / trainer.progress - 1)
                report(f"codec: step {trainer.step}, loss {values['loss']:.3f}, about {left / 60:.0f} min left")
            if trainer.cpu_seconds >= snapshot_due and trainer.settled:
                snapshot_due = trainer.cpu_seconds + config.snapshot_seconds
                _save_checkpoint(trainer, folder)
                trainer.save(folder, _record(trainer, corpora, command, SNAPSHOT_CLIPS))
    trainer.save(folder, _record(trainer, corpora, command, EVALUATION_CLIPS))
    for name in ("checkpoint.json", "checkpoint.safetensors"):
        (folder / name).unlink(missing_ok=True)
    return trainer.reference(folder)


@torch.no_grad()
def evaluate_codec(codec: Representation, corpus: Corpus, max_clips: int) -> dict[str, Any]:
    """Reconstruction on held-out clips (the valid split, or test where there is none), first 4 s of each.

    Returns:
        mean SI-SNR (dB) and log-mel distance (nats) through the continuous latents and, with codebooks, through the
        codes; perplexity per codebook; a VAE's divergence in nats per frame; the latents' standard deviation; and
        which clips were heard.
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
        rows.append({name: value for view in views.items() for name, value in _distances(codec, wav_BN, *view).items()})
        latents.append(z_BTD[0])
    heard = {"split": split, "n": len(clips), "corpus_fingerprint": corpus.fingerprint}
    means = {name: round(sum(row[name] for row in rows) / len(rows), 3) for name in rows[0]}
    used = perplexity(torch.cat(codes, dim=1), codec.spec.cardinality).tolist() if codes else []
    extra: dict[str, Any] = {"perplexity": [round(p, 1) for p in used]} if codes else {}
    extra |= {"kl_nats_per_frame": round(torch.stack(divergence).mean().item(), 2)} if divergence else {}
    return {**heard, **means, **extra, "std": round(torch.cat(latents).std().item(), 3)}


def _distances(codec: Representation, wav_BN: Tensor, view: str, decoded_BTD: Tensor) -> dict[str, float]:
    """SI-SNR and log-mel distance of what latents decode to."""
    estimate_BN = fit_length(codec.decode(decoded_BTD), wav_BN.shape[-1])
    distance = log_mel_distance(wav_BN, estimate_BN, codec.spec.sample_rate).item()
    return {f"{view}si_snr_db": si_snr(wav_BN, estimate_BN).item(), f"{view}log_mel_l1": distance}


def _record(trainer: Trainer, corpora: Sequence[tuple[Corpus, float]], command: str, clips: int) -> dict[str, Any]:
    heard = [corpus for corpus, _ in corpora if corpus.clips("valid") or corpus.clips("test")]
    metrics = {corpus.name: evaluate_codec(trainer.average, corpus, clips) for corpus in heard}
    return {
        "training": to_dict(trainer.budget),
        "command": command,
        "cpu_seconds": round(trainer.cpu_seconds, 1),
        "wall_seconds": round(trainer.wall_seconds, 1),
        "steps": trainer.step,
        "corpora": [{"name": c.name, "fingerprint": c.fingerprint, "weight": weight} for c, weight in corpora],
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__},
        "metrics": metrics,
    }


def _save_checkpoint(trainer: Trainer, folder: Path) -> None:
    state, tensors = trainer.checkpoint()
    write_tensors(folder / "checkpoint.safetensors", tensors)
    write_json(folder / "checkpoint.json", {**state, "config": config_hash(trainer.budget)})


def _resume(trainer: Trainer, folder: Path) -> bool:
    """Load the checkpoint of ``folder`` into ``trainer``; False when there is none."""
    from safetensors.torch import load_file

    if not (folder / "checkpoint.json").exists():
        return False
    state = read_json(folder / "checkpoint.json")
    if state["config"] != config_hash(trainer.budget):
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
