"""Control adherence: does a clip follow chords, melody and drums given in time, and what does it cost in fidelity?

The protocol is that of the fidelity axis (prompts, reference set, floors and ceilings, training), with the scenarios of
papers/002, table 3: a trained arm is given all of a prompt's controls, each alone, none, or, as the floor, all of
another prompt's (``wrong``). Extractors detect chords, melody and beats in the generated clip, and these are compared
with the prompt's own (metrics/control.py). ``real`` scores the prompts' own audio and ``codec_*`` its resynthesis;
``shuffled_captions``, the audio of another prompt, is chance. For paradigms over codes the entropy of the first code
is recorded at every step too (metrics/entropy.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....common.errors import UserError
from ...study.axis import Context, Measurement
from ...study.cells import Cell
from ...study.study import Study
from ..fidelity.axis import Fidelity, FidelityGroup

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ....paradigms.base import Paradigm
    from ..scoring import Scored

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
    from ....corpora.extractors import load_extractor
    from ....paradigms.pipeline import Sources, identity, load_data
    from ...study.references import REFERENCES
    from ..fidelity.cells import evaluation_of, reference_cell, trained_cells

    chosen = study.controls
    if not chosen.names:
        raise UserError(f"study {study.name}: controls.names is empty; name some, e.g. [chords_majmin, melody, drums]")
    data = load_data(Sources(study.corpus, study.representation, study.text, study.latents), latents=False)
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
    variants = {label: {"scenario": label, "given": given} for label, given in scenarios(study).items()}
    return cells + trained_cells("control", study, data, shared, how, variants)


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
        from .scoring import Tagger

        super().__init__(cells, context)
        self.listener = Tagger(self.eval_set, cells[0].how["extractors"], cells[0].config["evaluation"]["controls"])
        self._tokens: dict[str, Tensor] | None = None
        self._entropies: list[Tensor] = []

    def measure(self, cell: Cell) -> Measurement:
        """Make one clip per prompt and score them."""
        self._entropies = []
        return super().measure(cell)

    def model(self, cell: Cell) -> Paradigm:
        """The trained model, set to record the entropy of its draws."""
        model = super().model(cell)
        model.entropies = self._entropies
        return model

    def controls(self, cell: Cell) -> dict[str, Tensor]:
        """The prompts' controls that the cell's scenario gives, or another prompt's."""
        tokens, order = self._all_tokens(cell), self._given_by(cell)
        return {name: tokens[name][order] for name in cell.config["given"]}

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Fidelity's scores, those of the controls, and the entropies of what has just been drawn."""
        from ...metrics.entropy import per_clip
        from ..scoring import item_scores, joined, score

        scored = joined(score(audio_BN, self.eval_set), self.listener.score(audio_BN))
        if not self._entropies:
            return scored
        return joined(scored, item_scores(per_clip(self._entropy()), self.eval_set.prompts, {}))

    def beside(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Chords of the clips that are kept (of the prompt, given to the model, detected), and entropies by step."""
        from ....common.files import write_json, write_text
        from ...metrics.entropy import curve_csv

        made, prompts, asked = {}, self.kept(cell), [list(request.chords) for request in self.listener.requests]
        if prompts:
            given_by = (
                self._given_by(cell)
                if any(name.startswith("chords") for name in cell.config.get("given", ()))
                else None
            )
            told = {
                prompt: {
                    "prompt": asked[i],
                    "given": None if given_by is None else asked[given_by[i]],
                    "heard": self.listener.chords(audio_BN[i]),
                }
                for i, prompt in enumerate(prompts)
            }
            made["chords"] = f"chords/{cell.id}.json"
            write_json(self.context.results / made["chords"], told)
        if self._entropies:
            made["entropy"] = f"entropy/{cell.id}.csv"
            write_text(self.context.results / made["entropy"], curve_csv(self._entropy()))
        return made

    def _entropy(self) -> np.ndarray:
        """Of the clips just drawn, (n, T, 2) in nats."""
        import torch

        return torch.cat(self._entropies).cpu().double().numpy()

    def _given_by(self, cell: Cell) -> np.ndarray:
        """For each prompt, the index of the prompt whose controls are given, (n,)."""
        import numpy as np

        from ...study.references import another

        n = len(self.eval_set.prompts)
        return another(n, cell.seed) if cell.config["scenario"] == "wrong" else np.arange(n)

    def _all_tokens(self, cell: Cell) -> dict[str, Tensor]:
        """(n, T) of every control of the model, over the beginnings of the prompts that are judged."""
        import torch

        from ....representations.latents.control_tokens import control_tokens
        from ....representations.latents.controls import control_specs

        if self._tokens is None:
            representation, names = (
                self.data.representation,
                [spec["name"] for spec in cell.config["model"]["controls"]],
            )
            latent = representation.spec
            frames, specs = latent.frames(cell.config["evaluation"]["seconds"]), control_specs(names, latent)
            rows = [control_tokens(clip, specs, latent, representation, frames) for clip in self.eval_set.prompts]
            self._tokens = {name: torch.stack([row[name] for row in rows]) for name in names}
        return self._tokens
