"""How a built-in evaluator is made: attributes by cross-entropy, captions by contrast, within a budget of CPU time.

    python -m paradigm_bench.benchmarks.evaluators.builtin.training --corpus builtin --representation codec_builtin --out DIR

The loss is the mean cross-entropy over the attributes (clips that do not state one are left out of it) plus a weighted
contrastive loss between windows and captions, in which equal captions are all positives. The record that goes with the
weights holds the command's settings, what it cost, and accuracies on the valid split: clean, and through the codec.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ....common.config import to_dict
from ....common.errors import UserError
from ....corpora import Clip, Corpus, load_corpus
from ...metrics.adherence import agreement
from ..threads import one_thread
from . import words
from .batches import Lesson, Teacher, listening_loss
from .evaluator import SHIPPED, BuiltinEvaluator
from .examples import MAX_WINDOWS, class_lists, forms_of, gather, reconstruct
from .network import Tagger, NetworkConfig

if TYPE_CHECKING:
    from ....representations.base import Representation


@dataclass(frozen=True)
class EvaluatorConfig:
    """How an evaluator is trained.

    Args:
        clips: at most this many train clips are used.
        reconstructed: at most this many of them are also heard through the codec, which costs most of the preparation.
        steps: optimiser updates.
        cpu_seconds: training stops here even if steps remain; the learning rate then falls sooner.
        batch: clips per update, each in one of its forms.
        learning_rate: peak of a short warm-up and a cosine to zero (AdamW).
        text_weight: weight of the contrastive loss.
        transposed: share of windows that are heard in another key (see ``transposition.py``).
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
        representation: codec whose output it must also judge; ``None``: clean audio only.
        made_by: the command, for the record.

    Raises:
        UserError: the corpus has no train clips, or neither attributes nor words to learn.
    """
    started = time.process_time()
    clips, classes, vocabulary = material(corpus, config)
    with one_thread():
        examples = gather(
            clips, classes, representation, config.reconstructed, config.network.window, config.seed, _tracker(progress)
        )
        torch.manual_seed(config.seed)
        network = Tagger(config.network, classes, len(vocabulary))
        text_VL = words.encode([clip.caption for clip in clips], vocabulary)
        history = _fit(
            network,
            Teacher(examples, text_VL, classes, config.batch, config.transposed, config.seed),
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
    """Training clips, the classes of their attributes, and the words of their captions.

    Raises:
        UserError: the corpus has no train clips, or neither attributes nor words to learn.
    """
    clips = corpus.clips("train")[: config.clips]
    classes, vocabulary = class_lists(clips), words.vocabulary(clip.caption for clip in clips)
    if not classes and not vocabulary:
        raise UserError(
            f"corpus {corpus.name}: an evaluator cannot be trained on it, because its clips have no attribute with "
            "two values and no word that captions share; add attributes or captions, or name another evaluator"
        )
    return clips, classes, vocabulary


def expected_seconds(clips: Sequence[Clip], coded: bool, config: EvaluatorConfig) -> float:
    """How long training will take, from what the shipped evaluator took for each window and update.

    Args:
        coded: whether the evaluator also learns reconstructions by a codec.
    """
    made = BuiltinEvaluator.load(SHIPPED).record
    first, last = made["curve"][0], made["curve"][-1]
    update = (last["cpu_seconds"] - first["cpu_seconds"]) / (last["step"] - first["step"])
    window = (first["cpu_seconds"] - first["step"] * update) / made["examples"]
    testing = made["cpu_seconds"] - last["cpu_seconds"]
    windows = sum(max(1, min(MAX_WINDOWS, int(clip.seconds / config.network.window_seconds))) for clip in clips)
    listening = windows * (1 + coded) * window
    return float(listening + min(config.steps * update, max(config.cpu_seconds - listening, 0.0)) + testing)


def accuracies(evaluator: BuiltinEvaluator, clips: Sequence[Clip], codec: Representation | None) -> dict[str, Any]:
    """Accuracy per attribute and mean text similarity of ``clips``: clean and in each form that the codec gives."""
    rate = 16_000 if codec is None else codec.spec.sample_rate
    forms: dict[str, list[Any]] = {"clean": [clip.audio(rate) for clip in clips]}
    if codec is not None:
        for form in forms_of(codec):
            forms[form] = [reconstruct(wav, codec, form, seed=i) for i, wav in enumerate(forms["clean"])]
    captions = [clip.caption for clip in clips]
    table: dict[str, Any] = {}
    for kind, audio in forms.items():
        heard = evaluator.hear(audio, rate, captions)
        table[kind] = {"n": len(clips), "text_similarity": _mean(heard.similarity)}
        for name, values in evaluator.classes.items():
            labels = [values[i] for i in heard.posteriors[name].argmax(1)]
            table[kind][name] = _mean(agreement([clip.attributes.get(name) for clip in clips], labels))
    return table


def _fit(
    network: Tagger, teacher: Teacher, config: EvaluatorConfig, started: float, progress: bool
) -> dict[str, Any]:
    """Train in place; returns what happened."""
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.01)
    curve, step, done, spent = [], 0, 0.0, 0.0
    network.train()
    while done < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * done))
        value = _loss_of(network, teacher.lesson(), config.text_weight)
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


def _loss_of(network: Tagger, lesson: Lesson, weight: float) -> Tensor:
    heard = network(lesson.pitch_BCPT, lesson.mel_BMT)
    same_BB = (lesson.text_BL[:, None] == lesson.text_BL[None]).all(-1)
    scale = network.log_scale.clamp(max=4.6).exp()
    return listening_loss(heard, network.read(lesson.text_BL), lesson.labels, same_BB, lesson.told_B, scale, weight)


def _tracker(progress: bool) -> Callable[[Iterable[Clip]], Iterable[Clip]]:
    from rich.progress import track

    return lambda clips: track(clips, "evaluator: listening to the corpus", disable=not progress)


def _about(codec: Representation) -> dict[str, str]:
    return {"name": codec.spec.name, "fingerprint": codec.fingerprint}


def _mean(scores: Any) -> float | None:
    """Mean of the scores that exist, for a record; ``None`` where none does."""
    known = np.asarray(scores)[~np.isnan(scores)]
    return round(float(known.mean()), 4) if len(known) else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Train an evaluator from the command line."""
    from ....representations import load_representation

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", default="builtin", help="builtin, or a folder with a manifest")
    parser.add_argument("--representation", help="codec whose output it must judge too; none: clean audio only")
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
