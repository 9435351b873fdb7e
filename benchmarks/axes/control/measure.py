"""Measurement of control cells: generate clips with temporal controls, and compare what is detected in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....common.files import write_json, write_text
from ....corpora import Annotation, Clip
from ....corpora.extractors import load_extractor
from ....paradigms.base import Paradigm
from ....paradigms.pipeline import Generated
from ....representations.latents.controls import control_specs, control_tokens
from ...metrics import control, entropy
from ...study.axis import Context
from ...study.cells import Cell
from ...study.references import another
from ..eval_set import EvalSet
from ..fidelity.measure import FidelityGroup
from ..scoring import Scored, item_scores, joined, score
from .cells import ControlConfig


class ControlGroup(FidelityGroup):
    """The cells of one trained arm in its scenarios, or of all references."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        super().__init__(cells, context)
        controls = cells[0].read(ControlConfig).evaluation.controls
        self.scorer = ControlScorer(self.eval_set, cells[0].how["extractors"], controls)
        self._tokens: dict[str, Tensor] | None = None
        self._entropies: list[Tensor] = []  # of the clips generated last, one (B, T, 2) per batch

    def generate(self, cell: Cell, model: Paradigm, controls: Mapping[str, Tensor] | None = None) -> Generated:
        """One clip per prompt with the controls of the cell's scenario; records the entropy of the model's draws."""
        self._entropies = model.entropies = []
        return super().generate(cell, model, self.given_controls(cell))

    def given_controls(self, cell: Cell) -> dict[str, Tensor]:
        """Tokens (n, T) of the controls that the cell's scenario gives, of each prompt or of another one."""
        tokens, source = self._all_tokens(cell), self._source_of_controls(cell)
        return {name: tokens[name][source] for name in cell.read(ControlConfig).given}

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Scores of fidelity and of the controls, and the entropies of the clips generated last."""
        scored = joined(score(audio_BN, self.eval_set), self.scorer.score(audio_BN))
        if not self._entropies:
            return scored
        return joined(scored, item_scores(entropy.per_clip(self._entropy()), self.eval_set.prompts, {}))

    def extra_files(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Chords of the kept clips (of the prompt, given to the model, detected), and entropy by step."""
        made, prompts = {}, self.kept_prompts(cell)
        if prompts:
            made["chords"] = f"chords/{cell.id}.json"
            asked = [list(targets.chords) for targets in self.scorer.targets]
            has_chords = any(name.startswith("chords") for name in cell.read(ControlConfig).given)
            source = self._source_of_controls(cell) if has_chords else None
            content = {
                prompt: {
                    "prompt": asked[i],
                    "given": None if source is None else asked[source[i]],
                    "heard": self.scorer.chords(audio_BN[i]),
                }
                for i, prompt in enumerate(prompts)
            }
            write_json(self.context.results / made["chords"], content)
        if self._entropies:
            made["entropy"] = f"entropy/{cell.id}.csv"
            write_text(self.context.results / made["entropy"], entropy.curve_csv(self._entropy()))
        return made

    def _entropy(self) -> np.ndarray:
        """Entropies of the clips generated last, (n, T, 2) in nats."""
        return torch.cat(self._entropies).cpu().double().numpy()

    def _source_of_controls(self, cell: Cell) -> np.ndarray:
        """For each prompt, the index of the prompt whose controls are given, (n,)."""
        n = len(self.eval_set.prompts)
        return another(n, cell.seed) if cell.read(ControlConfig).scenario == "wrong" else np.arange(n)

    def _all_tokens(self, cell: Cell) -> dict[str, Tensor]:
        """Tokens (n, T) of every control of the model, for the beginnings of the prompts that are scored."""
        if self._tokens is None:
            config, representation = cell.read(ControlConfig), self.data.representation
            assert config.model is not None
            latent, names = representation.spec, [spec["name"] for spec in config.model.controls]
            frames, specs = latent.frames(config.evaluation.seconds), control_specs(names, latent)
            rows = [control_tokens(clip, specs, latent, representation, frames) for clip in self.eval_set.prompts]
            self._tokens = {name: torch.stack([row[name] for row in rows]) for name in names}
        return self._tokens


@dataclass(frozen=True)
class MusicTargets:
    """Chords, melody, beats and drum hits that a clip should contain, in seconds; empty where unknown or absent."""

    chords: control.ChordSpans
    melody: control.NoteSpans
    beats: Sequence[float]
    downbeats: Sequence[float]
    drum_hits: Sequence[float]


class ControlScorer:
    """Scores clips against the chords, beats, drum hits and melody of the prompts.

    These are the prompts' annotations, cut to the length of the generated clips. Chords and melody without annotation
    are what the extractors detect in the prompts' audio. Beats are scored only where there are drums, because without
    drums extractors guess.

    Args:
        extractors: kind -> name of the extractor.
        controls: names of the study's controls; ``chords`` adds a score that distinguishes sevenths from triads.
    """

    def __init__(self, eval_set: EvalSet, extractors: Mapping[str, str], controls: Sequence[str]) -> None:
        self.eval_set, self.rate = eval_set, eval_set.sample_rate
        self.extractors = {kind: load_extractor(kind, name) for kind, name in extractors.items()}
        self.sevenths = "chords" in controls
        seconds = eval_set.prompt_audio_BN.shape[1] / self.rate
        self.targets = [
            self._targets(clip, audio_N, seconds) for clip, audio_N in zip(eval_set.prompts, eval_set.prompt_audio_BN)
        ]

    def score(self, audio_BN: np.ndarray) -> Scored:
        """Metrics with intervals and per-clip rows of one clip per prompt."""
        rows = [self._clip_scores(i, audio_N) for i, audio_N in enumerate(audio_BN)]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        names = {kind: extract.name for kind, extract in self.extractors.items()}
        return item_scores(columns, self.eval_set.prompts, {"heard_by": names})

    def chords(self, audio_N: np.ndarray) -> control.ChordSpans:
        """The chords detected in one clip."""
        found: control.ChordSpans = self.extractors["chords"](audio_N, self.rate)
        return found

    def _clip_scores(self, i: int, audio_N: np.ndarray) -> dict[str, float]:
        asked, own_N = self.targets[i], self.eval_set.prompt_audio_BN[i]
        chords, melody = (self.extractors[kind](audio_N, self.rate) for kind in ("chords", "melody"))
        beats, downbeats = self.extractors["beats"](audio_N, self.rate) if asked.beats else ((), ())
        scores = {"chord_iou": control.chord_iou(asked.chords, chords)}
        if self.sevenths:
            scores["chord_iou_sevenths"] = control.chord_iou(asked.chords, chords, "sevenths")
        return scores | {
            "beat_f1": control.beat_f1(asked.beats, beats),
            "downbeat_f1": control.beat_f1(asked.downbeats, downbeats),
            "drum_correlation": control.drum_correlation(asked.drum_hits, audio_N, self.rate),
            "melody_chroma": control.chroma_similarity(own_N, audio_N, self.rate),
            "pitch_accuracy": control.pitch_accuracy(asked.melody, melody),
            "pitch_accuracy_any_octave": control.pitch_accuracy(asked.melody, melody, octaves=False),
        }

    def _targets(self, clip: Clip, audio_N: np.ndarray, seconds: float) -> MusicTargets:
        known = clip.annotation() or Annotation()
        beats, downbeats = (known.beats, known.downbeats) if known.drum_hits else ((), ())
        return MusicTargets(
            chords=_cut(known.chords, seconds) or self.extractors["chords"](audio_N, self.rate),
            melody=_cut(known.melody, seconds) or self.extractors["melody"](audio_N, self.rate),
            beats=[time for time in beats if time < seconds],
            downbeats=[time for time in downbeats if time < seconds],
            drum_hits=[time for time, _ in known.drum_hits if time < seconds],
        )


def _cut(spans: Sequence[tuple[float, float, Any]], seconds: float) -> tuple[tuple[float, float, Any], ...]:
    return tuple((start, min(end, seconds), label) for start, end, label in spans if start < seconds)
