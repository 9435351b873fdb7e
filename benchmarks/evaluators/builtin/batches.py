"""What the listener is asked in training: windows with their facts and captions, and the loss on its answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .examples import MISSING, Examples
from .frontend import OCTAVES
from .network import Heard
from .transposition import SEMITONES, label_turns, transpose


@dataclass(frozen=True)
class Lesson:
    """One batch: both views, class numbers per attribute, words of the captions, and which captions still hold."""

    pitch_BCPT: Tensor
    mel_BMT: Tensor
    labels: dict[str, Tensor]
    text_BL: Tensor
    told_B: Tensor


class Teacher:
    """Batches of distinct clips, each in one of its forms, some of them transposed; all drawn from one seeded stream.

    Args:
        text_VL: words of each clip's caption.
        batch: clips per lesson.
        transposed: share of windows that are heard in another key.
    """

    def __init__(
        self,
        examples: Examples,
        text_VL: Tensor,
        classes: dict[str, list[str]],
        batch: int,
        transposed: float,
        seed: int,
    ) -> None:
        self.examples, self.text_VL, self.transposed = examples, text_VL, transposed
        self.batch = min(batch, len(text_VL))
        self.rng = torch.Generator().manual_seed(seed)
        self.first_V = torch.searchsorted(examples.clip_N, torch.arange(len(text_VL)))
        self.forms_V = torch.bincount(examples.clip_N, minlength=len(text_VL))
        turns = {name: label_turns(values, MISSING) for name, values in classes.items()}
        self.turns = {name: turn for name, turn in turns.items() if turn is not None}

    def lesson(self) -> Lesson:
        """The next batch."""
        clip_B = torch.randperm(len(self.text_VL), generator=self.rng)[: self.batch]
        form_B = (torch.rand(self.batch, generator=self.rng) * self.forms_V[clip_B]).long()
        move_B = torch.randint(SEMITONES[0], SEMITONES[1] + 1, (self.batch,), generator=self.rng)
        move_B[torch.rand(self.batch, generator=self.rng) >= (self.transposed if self.turns else 0.0)] = 0
        example_B = self.first_V[clip_B] + form_B
        labels = {name: label_N[example_B] for name, label_N in self.examples.labels.items()}
        for name, turn in self.turns.items():
            known_B = labels[name] != MISSING
            labels[name] = torch.where(known_B, turn[move_B % 12, labels[name].clamp(min=0)], MISSING)
        pitch_BCPT = transpose(self.examples.pitch_NCPT[example_B].float(), move_B, OCTAVES)
        mel_BMT = self.examples.mel_NMT[example_B].float()
        return Lesson(pitch_BCPT, mel_BMT, labels, self.text_VL[clip_B], move_B == 0)


def listening_loss(
    heard: Heard,
    text_BE: Tensor,
    labels: dict[str, Tensor],
    same_BB: Tensor,
    told_B: Tensor,
    scale: Tensor,
    weight: float,
) -> Tensor:
    """Mean cross-entropy over attributes plus ``weight`` times the symmetric contrastive loss.

    Args:
        same_BB: whether captions i and j are the same, hence both right for either clip.
        told_B: whether the caption still speaks of this window; the others are left out of the contrast.
        scale: inverse temperature of the contrast.
    """
    terms = [
        F.cross_entropy(heard.logits[name], target, ignore_index=MISSING)
        for name, target in labels.items()
        if bool((target != MISSING).any())
    ]
    attributes = torch.stack(terms).mean() if terms else heard.embedding_BE.new_zeros(())
    if not told_B.any():
        return attributes
    same_CC = same_BB[told_B][:, told_B].float()
    cosine_CC = scale * heard.shared_BE[told_B] @ text_BE[told_B].T
    target_CC = same_CC / same_CC.sum(1, keepdim=True)
    contrast = (F.cross_entropy(cosine_CC, target_CC) + F.cross_entropy(cosine_CC.T, target_CC)) / 2
    return attributes + weight * contrast
