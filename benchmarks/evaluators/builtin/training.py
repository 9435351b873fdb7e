"""Training of the built-in attribute tagger, and the right one for a corpus.

    bench evaluators train --corpus FOLDER -o DIR
    python -m paradigm_bench.benchmarks.evaluators.builtin.training --representation codec_builtin --out DIR

The loss is the mean cross-entropy over the attributes (clips that do not state one are left out of it) plus a weighted
contrastive loss between windows and captions, in which equal captions are all positives. The record of the weights has
the settings, the cost, and accuracies on the valid split, clean and through the codec.

``builtin_evaluator`` gives the shipped evaluator for the built-in music, and otherwise one that is trained on the
corpus. The latter is cached under a key of corpus content, codec weights and settings, so that changed audio is never
scored by an old evaluator. Systems under comparison share it, because they share corpus and codec.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from ....common.config import config_hash, to_dict
from ....common.errors import UserError
from ....common.files import cache_dir
from ....common.needs import Need, may_train
from ....corpora import Clip, Corpus, load_corpus
from ....representations import Representation, load_representation
from ...metrics.adherence import agreement
from ..audio import one_thread
from ..base import Audio, Evaluator, EvaluatorOutput
from .evaluator import FORMAT, SHIPPED, BuiltinEvaluator
from .examples import (
    MAX_WINDOWS,
    BatchSampler,
    TrainingBatch,
    class_lists,
    forms_of,
    gather,
    reconstruct,
    tagger_loss,
)
from .network import NetworkConfig, Tagger, build_vocabulary, encode_captions


@dataclass(frozen=True)
class EvaluatorConfig:
    """How an evaluator is trained.

    Args:
        clips: largest number of train clips.
        reconstructed: largest number of them that are also reconstructed by the codec, which takes most of the
            preparation.
        steps: optimiser updates.
        cpu_seconds: training ends here even if steps remain; the learning rate then falls sooner.
        batch: clips per update, each by one of its windows.
        learning_rate: peak of a short warm-up and a cosine to zero (AdamW).
        text_weight: weight of the contrastive loss.
        transposed: share of windows that are transposed to another key.
    """

    clips: int = 4000
    reconstructed: int = 4000
    steps: int = 500
    cpu_seconds: float = 450.0
    batch: int = 32
    learning_rate: float = 2e-3
    text_weight: float = 0.5
    transposed: float = 0.3
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)


def train_evaluator(
    corpus: Corpus,
    representation: Representation | None,
    config: EvaluatorConfig,
    folder: Path,
    progress: bool = True,
    made_by: str = "train_evaluator",
) -> BuiltinEvaluator:
    """Train an evaluator on the train split of ``corpus``, measure it on the valid split, and save it in ``folder``.

    Args:
        representation: codec whose output it also learns; ``None``: clean audio only.
        made_by: the command, for the record.

    Raises:
        UserError: the corpus has no train clips, or neither attributes nor words to learn.
    """
    started = time.process_time()
    clips, classes, vocabulary = material(corpus, config)
    tracked = functools.partial(track, description="evaluator: preparing the corpus", disable=not progress)
    with one_thread():
        examples = gather(
            clips, classes, representation, config.reconstructed, config.network.window, config.seed, tracked
        )
        torch.manual_seed(config.seed)
        network = Tagger(config.network, classes, len(vocabulary))
        text_VL = encode_captions([clip.caption for clip in clips], vocabulary)
        history = _fit(
            network,
            BatchSampler(examples, text_VL, classes, config.batch, config.transposed, config.seed),
            config,
            started,
            progress,
        )
    record = {
        "made_by": made_by,
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint, "train_clips": len(clips)},
        "representation": None if representation is None else _about(representation),
        "config": to_dict(config),
        "examples": len(examples.clip_N),
        **history,
    }
    evaluator = BuiltinEvaluator(network, config.network, classes, vocabulary, record)
    evaluator.record["valid"] = accuracies(evaluator, corpus.clips("valid"), representation)
    evaluator.record["cpu_seconds"] = round(time.process_time() - started, 1)
    evaluator.save(folder)
    return evaluator


def material(corpus: Corpus, config: EvaluatorConfig) -> tuple[list[Clip], dict[str, list[str]], tuple[str, ...]]:
    """Training clips, the classes of their attributes, and the vocabulary of their captions.

    Raises:
        UserError: the corpus has no train clips, or neither attributes nor words to learn.
    """
    clips = corpus.clips("train")[: config.clips]
    classes, vocabulary = class_lists(clips), build_vocabulary(clip.caption for clip in clips)
    if not classes and not vocabulary:
        raise UserError(
            f"corpus {corpus.name}: an evaluator cannot be trained on it, because its clips have no attribute with "
            "two values and no word that captions share; add attributes or captions, or name another evaluator"
        )
    return clips, classes, vocabulary


def expected_seconds(clips: Sequence[Clip], coded: bool, config: EvaluatorConfig) -> float:
    """Estimated seconds of training, from the time of the shipped evaluator for each window and update.

    Args:
        coded: whether the evaluator also learns reconstructions by a codec.
    """
    made = BuiltinEvaluator.load(SHIPPED).record
    first, last = made["curve"][0], made["curve"][-1]
    update = (last["cpu_seconds"] - first["cpu_seconds"]) / (last["step"] - first["step"])
    window = (first["cpu_seconds"] - first["step"] * update) / made["examples"]
    testing = made["cpu_seconds"] - last["cpu_seconds"]
    windows = sum(max(1, min(MAX_WINDOWS, int(clip.seconds / config.network.window_seconds))) for clip in clips)
    preparing = windows * (1 + coded) * window
    return float(preparing + min(config.steps * update, max(config.cpu_seconds - preparing, 0.0)) + testing)


class UntrainedEvaluator(Evaluator):
    """Stands for an evaluator that a dry run does not train: it has an identity but cannot evaluate."""

    name, role = "builtin", "tagger"

    def __init__(self, identity: str) -> None:
        self.identity, self.classes = identity, {}

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """Always an error."""
        raise UserError("this evaluator is not trained yet; run the study without --dry-run")


def builtin_evaluator(
    corpus: Corpus | None = None,
    representation: Representation | None = None,
    config: EvaluatorConfig | None = None,
    seed: int | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Evaluator:
    """Load or train a built-in attribute tagger; a dry run (``common.needs``) gets one that is not trained.

    Args:
        corpus: of the clips to be scored; ``None`` or the built-in music gives the shipped weights.
        representation: codec of the systems to be scored; a newly trained evaluator also learns its reconstructions.
        config: settings of training; if given, an evaluator with these settings is trained or read from the cache.
        seed: the same with the default settings and another seed.
        folder: a checkpoint to load instead, for any corpus.

    Raises:
        UserError: the checkpoint is broken, or the corpus has nothing to learn from.
    """
    if folder is not None:
        return BuiltinEvaluator.load(folder)
    if config is None and seed is None and (corpus is None or corpus.name == "builtin"):
        return BuiltinEvaluator.load(SHIPPED)
    if corpus is None:
        corpus = load_corpus("builtin")
    settings = config or EvaluatorConfig(seed=seed or 0)
    codec = "none" if representation is None else representation.fingerprint
    key = config_hash({"format": FORMAT, "corpus": corpus.fingerprint, "codec": codec, "config": to_dict(settings)})
    cached = cache_dir("evaluators", key)
    if (cached / "evaluator.json").exists():
        return BuiltinEvaluator.load(cached)
    clips, _, _ = material(corpus, settings)
    own = "" if config is None and seed is None else f" with its own settings (seed {settings.seed})"
    coded = "" if representation is None else f" and its reconstructions by {representation.spec.name}"
    why = f"it learns what clips of {corpus.name}{coded} sound like, and is kept in the cache"
    seconds = expected_seconds(clips, representation is not None, settings)
    need = Need(f"an evaluator{own} for {corpus.name}{coded}", why, seconds)
    if not may_train(need):
        return UntrainedEvaluator(need.identity)
    return train_evaluator(corpus, representation, settings, cached, progress)


def accuracies(evaluator: BuiltinEvaluator, clips: Sequence[Clip], codec: Representation | None) -> dict[str, Any]:
    """Accuracy by attribute and mean text similarity of ``clips``, clean and in each form of reconstruction."""
    rate = 16_000 if codec is None else codec.spec.sample_rate
    forms: dict[str, list[Any]] = {"clean": [clip.audio(rate) for clip in clips]}
    if codec is not None:
        for form in forms_of(codec):
            forms[form] = [reconstruct(wav, codec, form, seed=i) for i, wav in enumerate(forms["clean"])]
    captions = [clip.caption for clip in clips]
    table: dict[str, Any] = {}
    for kind, audio in forms.items():
        output = evaluator.evaluate(audio, rate, captions)
        table[kind] = {"n": len(clips), "text_similarity": _mean(output.similarity)}
        for name, values in evaluator.classes.items():
            labels = [values[i] for i in output.posteriors[name].argmax(1)]
            table[kind][name] = _mean(agreement([clip.attributes.get(name) for clip in clips], labels))
    return table


def _fit(
    network: Tagger, sampler: BatchSampler, config: EvaluatorConfig, started: float, progress: bool
) -> dict[str, Any]:
    """Train the network in place; returns steps, reason to stop and loss curve for the record."""
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.01)
    curve, step, done, spent = [], 0, 0.0, 0.0
    network.train()
    while done < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * done))
        value = _loss_of(network, sampler.sample(), config.text_weight)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step, spent = step + 1, time.process_time() - started
        done = max(step / config.steps, spent / config.cpu_seconds)
        if step % 50 == 0 or done >= 1.0:
            curve.append({"step": step, "loss": round(value.item(), 4), "cpu_seconds": round(spent, 1)})
            if progress:
                print(f"evaluator: step {step}/{config.steps}, loss {value.item():.3f}, {spent:.0f} CPU-s", flush=True)
    return {"steps": step, "stopped_by": "steps" if step >= config.steps else "cpu_seconds", "curve": curve}


def _loss_of(network: Tagger, batch: TrainingBatch, weight: float) -> Tensor:
    output = network(batch.pitch_BCPT, batch.mel_BMT)
    same_BB = (batch.text_BL[:, None] == batch.text_BL[None]).all(-1)
    scale = network.log_scale.clamp(max=4.6).exp()
    return tagger_loss(
        output, network.embed_text(batch.text_BL), batch.labels, same_BB, batch.captioned_B, scale, weight
    )


def _about(codec: Representation) -> dict[str, str]:
    return {"name": codec.spec.name, "fingerprint": codec.fingerprint}


def _mean(scores: Any) -> float | None:
    """Mean of the scores that exist, for a record; ``None`` where none does."""
    known = np.asarray(scores)[~np.isnan(scores)]
    return round(float(known.mean()), 4) if len(known) else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Train an evaluator from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", default="builtin", help="builtin, or a folder with a manifest")
    parser.add_argument("--representation", help="codec whose output it also learns; none: clean audio only")
    parser.add_argument("--cpu-seconds", type=float, default=450.0, help="stop training here")
    parser.add_argument("--steps", type=int, default=EvaluatorConfig.steps, help="optimiser updates, if time allows")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights and their record")
    options = parser.parse_args(arguments)
    codec = load_representation(options.representation).eval() if options.representation else None
    config = EvaluatorConfig(steps=options.steps, cpu_seconds=options.cpu_seconds)
    through = f" --representation {options.representation}" if codec else ""
    command = (
        f"python -m paradigm_bench.benchmarks.evaluators.builtin.training --corpus {options.corpus}{through} "
        f"--steps {options.steps} --cpu-seconds {options.cpu_seconds:g} --out DIR"
    )
    evaluator = train_evaluator(load_corpus(options.corpus), codec, config, options.out, made_by=command)
    print(json.dumps(evaluator.record["valid"], indent=1))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
