"""Control adherence: does a clip follow chords, melody and drums given in time, and what does it cost in fidelity?

The protocol is that of the fidelity axis (prompts, reference set, floors and ceilings, training), with the scenarios of
papers/002, table 3: a trained arm is given all of a prompt's controls, each alone, none, or, as the floor, all of
another prompt's (``wrong``). What is asked for is always the prompt's own; what is heard in the clip is compared with
it (metrics/control.py). ``real`` is what the extractors make of the prompts' own audio, ``codec_*`` of its resynthesis,
``shuffled_captions`` is chance: the audio of another prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.axes.base import Context
from benchmarks.axes.fidelity import Fidelity, FidelityGroup
from benchmarks.cells import Cell
from benchmarks.study import Study
from common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from benchmarks.axes.scoring import Scored

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


class Control(Fidelity):
    """The axis; see the module's docstring."""

    default_study = "control"

    def expand(self, study: Study) -> list[Cell]:
        """References first, then every arm for every seed in every scenario, trained to the end."""
        return expand(study)

    def open(self, cells: Sequence[Cell], context: Context) -> ControlGroup:
        """Load data, evaluator and extractors; train the arm that the cells measure."""
        return ControlGroup(cells, context)


def expand(study: Study) -> list[Cell]:
    """The cells of a control study.

    Raises:
        UserError: no controls, or an unknown control or extractor; and what the fidelity axis raises.
    """
    from benchmarks.axes.fidelity_cells import evaluation_of, reference_cell, trained_config
    from benchmarks.pipeline import Sources, identity, load_data
    from benchmarks.systems import REFERENCES
    from benchmarks.trained import training_folder
    from corpora.extractors import load_extractor

    chosen = study.controls
    if not chosen.names:
        raise UserError(f"study {study.name}: controls.names is empty; name some, e.g. [chords_majmin, melody, drums]")
    data = load_data(Sources(study.corpus, study.representation, study.text), latents=False)
    evaluation, how = evaluation_of(study, data)
    extractors = {"chords": chosen.chords, "melody": chosen.melody, "beats": chosen.beats}
    judged = {
        **evaluation,
        "controls": list(chosen.names),
        "heard_by": {kind: load_extractor(kind, name).name for kind, name in extractors.items()},
    }
    shared = {"axis": "control", "version": VERSION, "data": identity(data), "evaluation": judged}
    how = {**how, "extractors": extractors}
    cells = [reference_cell("control", name, REFERENCES, shared, how) for name in study.evaluation.references]
    for seed in study.seeds:
        for arm in study.arms:
            config = trained_config(arm, seed, study, data.representation.spec, shared)
            kept = how if seed == study.seeds[0] else {**how, "keep_audio": 0}
            at, folder = study.train.updates, training_folder(config)
            for label, given in scenarios(study).items():
                cell = {**config, "at_updates": at, "scenario": label, "given": given}
                cells.append(Cell("control", arm.name, "paradigm", seed, at, folder, cell, kept, at, label))
    return cells


def scenarios(study: Study) -> dict[str, list[str]]:
    """Label -> the controls that are given; ``wrong`` gives all, of another prompt."""
    names = list(study.controls.names)
    found: dict[str, list[str]] = {}
    for scenario in study.controls.scenarios:
        if scenario == "single":
            for name in names:
                found[f"{name} only"] = [name]
        else:
            found[scenario] = [] if scenario == "none" else names
    return found


class ControlGroup(FidelityGroup):
    """One trained arm in its scenarios, or all references."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        from benchmarks.axes.control_scoring import Listener

        super().__init__(cells, context)
        self.listener = Listener(self.exam, cells[0].how["extractors"], cells[0].config["evaluation"]["controls"])
        self._tokens: dict[str, Tensor] | None = None

    def controls(self, cell: Cell) -> dict[str, Tensor]:
        """The prompts' controls that the cell's scenario gives, or another prompt's."""
        from benchmarks.systems import another

        order: Any = slice(None)
        if cell.config["scenario"] == "wrong":
            order = another(len(self.exam.prompts), cell.seed)
        tokens = self._all_tokens(cell)
        return {name: tokens[name][order] for name in cell.config["given"]}

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Fidelity's scores, and those of the controls."""
        from benchmarks.axes.scoring import joined, score

        return joined(score(audio_BN, self.exam), self.listener.score(audio_BN))

    def _all_tokens(self, cell: Cell) -> dict[str, Tensor]:
        """(n, T) of every control of the model, over the beginnings of the prompts that are judged."""
        import torch

        from representations.control_tokens import control_tokens
        from representations.controls import control_specs

        if self._tokens is None:
            representation, names = (
                self.data.representation,
                [spec["name"] for spec in cell.config["model"]["controls"]],
            )
            latent = representation.spec
            frames, specs = latent.frames(cell.config["evaluation"]["seconds"]), control_specs(names, latent)
            rows = [control_tokens(clip, specs, latent, representation, frames) for clip in self.exam.prompts]
            self._tokens = {name: torch.stack([row[name] for row in rows]) for name in names}
        return self._tokens
