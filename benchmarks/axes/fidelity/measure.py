"""Measurement of fidelity cells: train an arm, generate one clip per prompt, and score the clips."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .... import paradigms
from ....common.environment import device_name
from ....common.gpus import device_type
from ....common.precision import float32_products
from ....common.seeds import seed_for
from ....corpora.audio import kept_format, write_audio
from ....paradigms.base import Paradigm
from ....paradigms.pipeline import Generated, generate
from ....paradigms.session import capture_failures
from ....training.budget import TrainingCost
from ....training.trained import train_system, tune_system, untuned
from ....training.tuning_rounds import Tuned
from ...evaluators.rewards import evaluator_in, load_reward
from ...study.axis import Context, Measurement, UnsupportedError
from ...study.cells import Cell, CellConfig
from ...study.references import FLOORS, REFERENCES, ReferenceContext
from ..eval_set import EvalSet, eval_audio, load_evaluators, make_eval_set
from ..scoring import Scored, item_scores, joined, score
from .cells import data_of

if TYPE_CHECKING:
    from ..replication import Replication

if TYPE_CHECKING:
    from ..replication import Replication


class FidelityGroup:
    """The cells of one trained arm, or of all references.

    ``measure`` makes the clips of a cell, by ``generate`` for an arm and by ``reference`` for a floor or ceiling, and
    scores them by ``score``. The axes control, inpainting and frame_rate override these three, ``load_eval_set`` and
    ``extra_files``.

    Attributes:
        data: corpus, representation and text encoder of the cells.
        eval_set: prompts, their audio, and the evaluators' outputs.
        reward: scores clips beside the evaluators; None: there is none.
        replication: measures the distances to training clips; None: the study does not ask for it.
        result: folders of the trained weights; for an arm only.
        training: cost of training, tuning included; for an arm only.
        tuned: result of tuning by reward; None: the arm is not tuned.
    """

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        first = cells[0]
        self.context, self.data = context, data_of(first)
        self.eval_set = self.load_eval_set(first)
        spec = first.how.get("reward")
        self.reward = load_reward(spec, self.data.corpus, self.data.representation) if spec else None
        self.replication = self._replication(first)
        self.tuned: Tuned | None = None
        if first.kind == "paradigm":
            self.result, self.training = train_system(untuned(first.config), self.data, context.work, context.report)
            if "tune" in first.config and self.reward is not None:
                embedder = self.eval_set.evaluator
                self.tuned = tune_system(
                    first.config, self.data, self.result, self.reward, embedder, context.work, context.report
                )
                self.training = with_tuning(self.training, self.tuned, first)

    def load_eval_set(self, cell: Cell) -> EvalSet:
        """Prompts, reference audio and evaluators of the group's cells."""
        evaluators = load_evaluators(cell.how, self.data.corpus, self.data.representation)
        return make_eval_set(cell.read(CellConfig).evaluation, evaluators, self.data.corpus)

    def measure(self, cell: Cell) -> Measurement:
        """Make one clip per prompt and score them."""
        begun, timing = time.perf_counter(), dict[str, float]()
        if cell.kind == "reference":
            audio_BN = self.reference(cell)
        else:
            with float32_products(cell.read(CellConfig).precision, device_type()):
                generated = self.generate(cell, self._load_model(cell))
            audio_BN, timing = generated.audio_BN, dict(generated.timing)
        scored, files = self.score(audio_BN), self._write_clips(cell, audio_BN) | self.extra_files(cell, audio_BN)
        if self.replication is not None:
            distances, pairs = self.replication.score(audio_BN)
            scored = joined(scored, distances)
            if files and cell.kind == "paradigm":
                files |= self.replication.write(audio_BN, pairs, self.context.results, _stem(cell))
        metrics, items, details = scored
        timing["measuring_seconds"] = time.perf_counter() - begun
        return Measurement(
            metrics=metrics,
            items=items,
            timing={name: round(value, 4) for name, value in timing.items()},
            training=at_update(self.training, cell.at_updates) if cell.kind == "paradigm" else None,
            artefacts=files,
            environment={"scoring": details, **self._circumstances(cell)},
        )

    def reference(self, cell: Cell) -> np.ndarray:
        """The clips (n, N) of a floor or ceiling."""
        held = self.eval_set
        context = ReferenceContext(
            held.prompts, held.prompt_audio_BN, held.starts, self.data.corpus, self.data.representation,
            held.sample_rate, cell.seed,
        )  # fmt: skip
        return REFERENCES[cell.read(CellConfig).reference](context)

    def generate(self, cell: Cell, model: Paradigm, controls: Mapping[str, Tensor] | None = None) -> Generated:
        """One clip per prompt.

        Args:
            model: the trained model that the cell measures.
            controls: name -> tokens (n, T) of the temporal controls that the model is given.
        """
        config, prompts = cell.read(CellConfig), self.eval_set.prompts
        return generate(
            model,
            self.data.representation,
            self.data.text,
            captions=[clip.caption for clip in prompts],
            seeds=self.sampling_seeds(cell),
            sampler=model.sampler(config.sampler),
            seconds=config.evaluation.seconds,
            batch=cell.how["batch"],
            controls=controls,
            noise=config.noise,
        )

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of one clip per prompt (n, N): metrics, per-clip rows, and details on how they were computed."""
        scored, prompts = score(audio_BN, self.eval_set), self.eval_set.prompts
        if self.reward is None:
            return scored
        captions = [clip.caption for clip in prompts]
        values = self.reward.score(list(audio_BN), self.eval_set.sample_rate, captions)
        about = {
            "name": self.reward.name,
            "identity": self.reward.identity,
            "evaluator": evaluator_in(self.reward.name),
        }
        return joined(scored, item_scores({"reward": values}, prompts, {"reward": about}))

    def extra_files(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Write further files of a cell for the report; returns name -> path. There are none on this axis."""
        return {}

    def sampling_seeds(self, cell: Cell) -> list[int]:
        """The seed of each prompt's clip, which depends on nothing but the cell's seed and the prompt."""
        return [seed_for(cell.seed, clip.id, 0) for clip in self.eval_set.prompts]

    def kept_prompts(self, cell: Cell) -> list[str]:
        """Names in artefacts of the prompts whose clips a cell keeps, which are the first of all prompts."""
        return [clip.id.replace("/", "_") for clip in self.eval_set.prompts[: cell.how["keep_audio"]]]

    def _replication(self, cell: Cell) -> Replication | None:
        evaluation = cell.read(CellConfig).evaluation
        if not evaluation.replication:
            return None
        from ..replication import Replication  # it loads librosa, which a machine with a GPU may lack

        reference_BN = eval_audio(evaluation, self.data.corpus)[1][evaluation.prompts :]
        return Replication(self.data.corpus, self.eval_set, reference_BN, self.context.report)

    def _load_model(self, cell: Cell) -> Paradigm:
        if self.tuned is not None:
            folder = self.tuned.final
        elif cell.at_updates in (None, self.training.updates):
            folder = self.result.final
        elif cell.at_updates in self.result.snapshots:
            folder = self.result.snapshots[cell.at_updates]
        else:
            ended = f"training had stopped improving and ended after update {self.training.updates:,}"
            raise UnsupportedError(f"no snapshot after update {cell.at_updates:,}: {ended}")
        dtype = torch.bfloat16 if cell.read(CellConfig).precision == "bf16" else torch.float32
        return paradigms.load(folder).to(device_type(), dtype)

    def _write_clips(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Write the clips that are kept; file names contain the cell's id, so no later measurement replaces them."""
        snapshot = cell.at_updates is not None and cell.at_updates < self.training.updates
        if snapshot or cell.system in FLOORS:
            return {}
        kept: dict[str, str] = {}
        for prompt, audio_N in zip(self.kept_prompts(cell), audio_BN):
            name = f"audio/{_stem(cell, prompt)}{kept_format()}"
            write_audio(self.context.results / name, audio_N, self.eval_set.sample_rate)
            kept[f"audio/{prompt}"] = name
        return kept

    def _circumstances(self, cell: Cell) -> dict[str, Any]:
        """Of an arm, for its record: the device, the tuning, and why steps were not captured if they were not."""
        if cell.kind == "reference":
            return {}
        failures = capture_failures()
        return {
            "device": device_name(device_type()),
            **({"tuning": self.tuned.record} if self.tuned else {}),
            **({"plain_steps": failures} if failures else {}),
        }


def _stem(cell: Cell, prompt: str = "") -> str:
    """Beginning of the names of a cell's files, e.g. ``fm-s0-<prompt>-<id>``."""
    return "-".join(part for part in (cell.system, f"s{cell.seed}", prompt, cell.id[:6]) if part)


def with_tuning(training: TrainingCost, tuned: Tuned, cell: Cell) -> TrainingCost:
    """The cost of training and tuning together."""
    config = cell.read(CellConfig)
    assert config.train is not None
    assert config.tune is not None
    clips, tuning_clips = training.updates * config.train.batch, tuned.updates * config.tune["batch"]
    return dataclasses.replace(
        training,
        updates=cell.updates,
        cpu_seconds=round(training.cpu_seconds + tuned.cpu_seconds, 1),
        wall_seconds=round(training.wall_seconds + tuned.wall_seconds, 1),
        tokens=training.tokens + tuning_clips * training.tokens // max(clips, 1),
    )


def at_update(training: TrainingCost, update: int | None) -> TrainingCost:
    """The cost of the first ``update`` updates of a training run; None: of all."""
    update = training.updates if update is None else update
    kept = [i for i, at in enumerate(training.curve["update"]) if at <= update]
    curve: dict[str, Any] = {name: tuple(column[i] for i in kept) for name, column in training.curve.items()}
    validation = {
        name: tuple(value for at, value in zip(training.validation["update"], column) if at <= update)
        for name, column in training.validation.items()
    }
    share = update / training.updates
    return dataclasses.replace(
        training,
        updates=update,
        cpu_seconds=round(training.cpu_seconds * share, 1),
        wall_seconds=round(training.wall_seconds * share, 1),
        tokens=round(training.tokens * share),
        flops=None if training.flops is None else training.flops * share,
        curve=curve,
        validation=validation,
    )
