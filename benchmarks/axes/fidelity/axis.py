"""Fidelity and caption adherence: train all arms alike, generate for the same captions, judge by the same evaluator.

The test split, ordered by hashes of clip ids, is cut into two disjoint halves of equal size n: the captions of the
first are the prompts, the audio of the second is the reference set of every distance. Paired scores compare a clip with
its prompt's own audio. Floors and ceilings (systems.py) answer the same prompts and are scored by the same code.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....common.config import from_dict
from ....common.gpus import device_type
from ....common.precision import float32_products
from ....common.seeds import seed_for
from ...study.axis import Context, Estimate, Measurement
from ...study.cells import Cell
from ...study.study import CorpusChoice, Study

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ....paradigms.base import Paradigm
    from ....paradigms.pipeline import Data
    from ....training.cost import TrainingCost
    from ...run.tuning import Tuned
    from ..eval_set import EvalSet
    from ..scoring import Scored


class Fidelity:
    """The axis; see the module's docstring."""

    default_study = "quickstart"
    exclusive = False

    def expand(self, study: Study) -> list[Cell]:
        """References first, then every arm for every seed, at every snapshot and at the end."""
        from .cells import expand

        return expand(study)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """From what earlier records took."""
        from .estimate import estimate

        return estimate(cells, results)

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Encode the training clips, once for all workers; the evaluator was made when the study was expanded."""
        trained = next((cell for cell in cells if cell.kind == "paradigm"), None)
        if trained is not None:
            data_of(trained)

    def open(self, cells: Sequence[Cell], context: Context) -> FidelityGroup:
        """Load data and evaluator; train the arm that the cells measure."""
        return FidelityGroup(cells, context)


def data_of(cell: Cell) -> Data:
    """The data that a cell's worker needs; latents only where something is trained."""
    from ....paradigms.pipeline import Sources, load_data

    sources = cell.how["sources"]
    corpus = from_dict(CorpusChoice, sources["corpus"], "corpus")
    controls = [spec["name"] for spec in cell.config.get("model", {}).get("controls", [])]
    of = cell.config.get("model", {}).get("normalisation", "paper")
    before = from_dict(CorpusChoice, sources["pretraining"], "pretraining_corpus") if "pretraining" in sources else None
    chosen = Sources(corpus, sources["representation"], sources["text"], sources["latents"], of, before)
    return load_data(chosen, latents=cell.kind == "paradigm", controls=controls)


class FidelityGroup:
    """One trained arm, or all references."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        from ....training.trained import train_system, untuned
        from ...evaluators.rewards import load_reward

        first = cells[0]
        self.context, self.data = context, data_of(first)
        self.eval_set = self.examination(first)
        spec, data = first.how.get("reward"), self.data
        self.reward = load_reward(spec, data.corpus, data.representation) if spec else None
        self.tuned: Tuned | None = None
        if first.kind == "paradigm":
            self.result, self.training = train_system(untuned(first.config), data, context.work, context.report)
        if "tune" in first.config and self.reward is not None:
            from ...run.tuning import tune_system

            report = context.report
            self.tuned = tune_system(first.config, data, self.result, self.reward, self.eval_set, context.work, report)
            self.training = with_tuning(self.training, self.tuned, first)

    def examination(self, cell: Cell) -> EvalSet:
        """The exam of the group's cells: prompts, reference audio, evaluator."""
        from ..eval_set import load_eval_set

        return load_eval_set(cell.config["evaluation"], cell.how["evaluator"], self.data)

    def measure(self, cell: Cell) -> Measurement:
        """Make one clip per prompt and score them."""
        begun = time.perf_counter()
        if cell.kind == "reference":
            audio_BN, timing = self.reference(cell)
        else:
            with float32_products(cell.config.get("precision", "fp32"), device_type()):
                audio_BN, timing = self.generate(cell)
        metrics, items, basis = self.score(audio_BN)
        timing["measuring_seconds"] = time.perf_counter() - begun
        return Measurement(
            metrics=metrics,
            items=items,
            timing={name: round(value, 4) for name, value in timing.items()},
            training=at_update(self.training, cell.at_updates) if cell.kind == "paradigm" else None,
            artefacts=self._keep(cell, audio_BN) | self.beside(cell, audio_BN),
            environment={"scoring": basis, **self.circumstances(cell)},
        )

    def circumstances(self, cell: Cell) -> dict[str, Any]:
        """Device of an arm, how it was tuned, and why its steps were not captured if they were not, for its record."""
        from ....common.environment import device_name
        from ....paradigms.session import capture_failures

        if cell.kind == "reference":
            return {}
        failures = capture_failures()
        return {
            "device": device_name(device_type()),
            **({"tuning": self.tuned.record} if self.tuned else {}),
            **({"plain_steps": failures} if failures else {}),
        }

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Metrics, per-clip rows and what they rest on, of one clip per prompt."""
        from ..scoring import item_scores, joined, score

        scored, prompts = score(audio_BN, self.eval_set), self.eval_set.prompts
        if self.reward is None:
            return scored
        captions = [clip.caption for clip in prompts]
        values = self.reward.score(list(audio_BN), self.eval_set.sample_rate, captions)
        return joined(scored, item_scores({"reward": values}, prompts, {}))

    def reference(self, cell: Cell) -> tuple[np.ndarray, dict[str, float]]:
        """The clips of a floor or ceiling, and no timing."""
        from ...study.references import REFERENCES

        make = REFERENCES[cell.config["reference"]]
        return make(self.eval_set.prompt_audio_BN, self.data.representation, cell.seed), {}

    def model(self, cell: Cell) -> Paradigm:
        """The trained model that a cell measures, on the device it runs on."""
        import torch

        from .... import paradigms

        final = cell.at_updates in (None, self.training.updates)
        folder = self.result.final if final else self.result.snapshots[cell.at_updates or 0]
        model = paradigms.load(self.tuned.final if self.tuned else folder)
        dtype = torch.bfloat16 if cell.config.get("precision") == "bf16" else torch.float32
        return model.to(device_type(), dtype)

    def generate(self, cell: Cell) -> tuple[np.ndarray, dict[str, float]]:
        """One clip per prompt, and what they took."""
        from ....paradigms.pipeline import generate
        from ....training.trained import noise_of

        model, prompts = self.model(cell), self.eval_set.prompts
        made = generate(
            model, self.data.representation, self.data.text, [clip.caption for clip in prompts],
            [seed_for(cell.seed, clip.id, 0) for clip in prompts], model.sampler(cell.config["sampler"]),
            cell.config["evaluation"]["seconds"], cell.how["batch"], self.controls(cell), noise_of(cell.config),
        )  # fmt: skip
        return made.audio_BN, made.timing

    def controls(self, cell: Cell) -> dict[str, Tensor]:
        """Tokens (n, T) of the temporal controls that a cell is given, by name: none on this axis."""
        return {}

    def beside(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Write further files of a cell for the report; name -> path. On this axis there are none."""
        return {}

    def kept(self, cell: Cell) -> list[str]:
        """Names in artefacts of the prompts whose clips a cell keeps, the first of all."""
        return [clip.id.replace("/", "_") for clip in self.eval_set.prompts[: cell.how["keep_audio"]]]

    def _keep(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Write the clips of the first prompts; names hold the cell, so that no later measurement replaces them."""
        from ....common.audio import kept_format, write_audio
        from ...study.references import FLOORS

        unheard = cell.system in FLOORS or (cell.at_updates is not None and cell.at_updates < self.training.updates)
        if unheard:
            return {}
        kept: dict[str, str] = {}
        for prompt, audio_N in zip(self.kept(cell), audio_BN):
            name = f"audio/{cell.system}-s{cell.seed}-{prompt}-{cell.id[:6]}{kept_format()}"
            write_audio(self.context.results / name, audio_N, self.eval_set.sample_rate)
            kept[f"audio/{prompt}"] = name
        return kept


def with_tuning(training: TrainingCost, tuned: Tuned, cell: Cell) -> TrainingCost:
    """The cost of training and tuning together."""
    spec = cell.config["tune"]
    return dataclasses.replace(
        training,
        updates=cell.updates,
        cpu_seconds=round(training.cpu_seconds + tuned.cpu_seconds, 1),
        wall_seconds=round(training.wall_seconds + tuned.wall_seconds, 1),
        tokens=training.tokens
        + tuned.updates * spec["batch"] * training.tokens // max(training.updates * cell.config["train"]["batch"], 1),
    )


def at_update(training: TrainingCost, update: int | None) -> TrainingCost:
    """The cost of the first ``update`` updates of a training run; None: of all."""
    update = training.updates if update is None else update
    kept = [i for i, at in enumerate(training.curve["update"]) if at <= update]
    curve: dict[str, Any] = {name: tuple(column[i] for i in kept) for name, column in training.curve.items()}
    share = update / training.updates
    return dataclasses.replace(
        training,
        updates=update,
        cpu_seconds=round(training.cpu_seconds * share, 1),
        wall_seconds=round(training.wall_seconds * share, 1),
        tokens=round(training.tokens * share),
        flops=None if training.flops is None else training.flops * share,
        curve=curve,
    )
