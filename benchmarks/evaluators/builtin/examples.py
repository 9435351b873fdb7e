"""Training data of the built-in attribute tagger: windows of clips, clean and through a codec, and batches of them.

A classifier trained on clean audio only errs on the output of a codec, and every system's output is one. So each clip
is also seen after the codec: decoded from its continuous latents, from its codes, and from latents with noise added,
because a generative model's latents are never exact. Both views (``frontend.py``) are computed once and kept in
float16.

Some windows are transposed, which is cheap because the pitch view has a logarithmic axis. Attributes that name a pitch
class ("C:major", "F#") change with it; captions do not, so a transposed window takes no part in the contrastive loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ....common.seeds import seed_for
from ....corpora.clip import Clip
from ....corpora.pitch import PITCH_CLASSES, pitch_class
from ....representations import Representation
from .. import audio as policy
from .evaluator import OPENING_ATTRIBUTES
from .frontend import OCTAVES, SAMPLE_RATE, Frontend
from .network import TaggerOutput

Wav = NDArray[np.float32]
NOISE_DB = (10.0, 40.0)  # signal-to-noise ratios of half of the clean examples
LATENT_NOISE = (0.1, 0.5)  # standard deviations, relative to the clip's own latents, in the blurred examples
MAX_WINDOWS = 4  # of one clip, and of its reconstruction
MISSING = -1  # class number of an attribute that a clip does not state
SEMITONES = (-6, 5)  # transpositions; every other key is reached by the shorter way
SILENCE = -1.0  # value of the pitch view where there is no energy


@dataclass(frozen=True)
class Examples:
    """N training windows.

    Attributes:
        pitch_NCPT, mel_NMT: the two views, float16.
        labels: attribute -> class numbers (N,), -1 where the clip does not state it.
        clip_N: index of the clip that each window belongs to.
    """

    pitch_NCPT: Tensor
    mel_NMT: Tensor
    labels: dict[str, Tensor]
    clip_N: Tensor


def class_lists(clips: Sequence[Clip]) -> dict[str, list[str]]:
    """Attribute -> sorted values over ``clips``, without the attributes that have fewer than two."""
    values: dict[str, set[str]] = {}
    for clip in clips:
        for name, value in clip.attributes.items():
            values.setdefault(name, set()).add(value)
    return {name: sorted(found) for name, found in sorted(values.items()) if len(found) > 1}


def forms_of(codec: Representation) -> tuple[str, ...]:
    """How a codec reconstructs clips: from ``continuous`` latents, ``blurred`` ones and, with codebooks, ``codes``."""
    return ("continuous", "codes", "blurred") if codec.spec.codebooks else ("continuous", "blurred")


def reconstruct(wav: Wav, codec: Representation, form: str, seed: int) -> Wav:
    """A clip (N,) at the codec's sample rate, encoded and decoded in one of its ``forms_of``."""
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        z_1TD = codec.encode(torch.from_numpy(wav)[None])
        if form == "codes":
            z_1TD = codec.dequantise(codec.quantise(z_1TD))
        elif form == "blurred":
            amount = LATENT_NOISE[0] + (LATENT_NOISE[1] - LATENT_NOISE[0]) * torch.rand((), generator=rng)
            z_1TD = z_1TD + z_1TD.std() * amount * torch.randn(z_1TD.shape, generator=rng)
        return codec.decode(z_1TD)[0].numpy()


def gather(
    clips: Sequence[Clip],
    classes: dict[str, list[str]],
    codec: Representation | None,
    reconstructed: int,
    window: int,
    seed: int,
    track: Callable[[Iterable[Clip]], Iterable[Clip]],
) -> Examples:
    """Training windows of every clip and, for the first ``reconstructed`` clips, of their reconstructions.

    The forms of reconstruction alternate from clip to clip.

    Args:
        window: samples per window; a long clip gives up to four, and so does its reconstruction.
        seed: of the added noise and the choice of windows.
        track: wraps the clips to show progress.
    """
    frontend, views, owners, openings = Frontend(), [], [], []
    for i, clip in enumerate(track(clips)):
        form = forms_of(codec)[i % len(forms_of(codec))] if codec is not None and i < reconstructed else None
        for wav, opening in _windows(clip, codec, form, window, seed):
            with torch.inference_mode():
                views.append([view[0].half() for view in frontend(torch.from_numpy(wav)[None])])
            owners.append(i)
            openings.append(opening)
    clip_N, opening_N = torch.tensor(owners), torch.tensor(openings)
    labels = {}
    for name, values in classes.items():
        number = {value: n for n, value in enumerate(values)}
        label_N = torch.tensor([number.get(clip.attributes.get(name, ""), MISSING) for clip in clips])[clip_N]
        labels[name] = torch.where(opening_N, label_N, MISSING) if name in OPENING_ATTRIBUTES else label_N
    pitch_N, mel_N = zip(*views)
    return Examples(torch.stack(pitch_N), torch.stack(mel_N), labels, clip_N)


def _windows(
    clip: Clip, codec: Representation | None, form: str | None, window: int, seed: int
) -> Iterator[tuple[Wav, bool]]:
    """Windows of the clip and of its reconstruction, each with whether it is the first."""
    rng = np.random.default_rng(seed_for(seed, clip.id))
    sounds = [_with_noise(policy.prepare(clip.audio(SAMPLE_RATE), SAMPLE_RATE, SAMPLE_RATE), rng)]
    if codec is not None and form is not None:
        rate = codec.spec.sample_rate
        recovered = reconstruct(clip.audio(rate), codec, form, seed_for(seed, clip.id, "blur"))
        sounds.append(policy.prepare(recovered, rate, SAMPLE_RATE))
    for wav in sounds:
        parts = policy.windows(wav, window)
        for pick in np.sort(rng.permutation(len(parts))[:MAX_WINDOWS]):
            yield parts[pick], bool(pick == 0)


def _with_noise(wav: Wav, rng: np.random.Generator) -> Wav:
    """White noise at a random level on every second clip."""
    if rng.integers(2):
        return wav
    level = np.sqrt(np.mean(wav**2)) * 10 ** (-rng.uniform(*NOISE_DB) / 20)
    return np.asarray(wav + level * rng.standard_normal(len(wav)), np.float32)


def transposed_labels(values: list[str], missing: int) -> Tensor | None:
    """Class number of each value k semitones higher, (12, values), ``missing`` where no class has that name.

    ``None`` where the values are not pitch classes or keys and do not change.
    """
    parts = [value.partition(":") for value in values]
    try:
        places = [pitch_class(name) for name, _, _ in parts]
    except ValueError:
        return None
    number = {value: i for i, value in enumerate(values)}
    endings = [colon + mode for _, colon, mode in parts]

    def after(k: int) -> list[int]:
        names = [PITCH_CLASSES[(place + k) % 12] + ending for place, ending in zip(places, endings)]
        return [number.get(name, missing) for name in names]

    return torch.tensor([after(k) for k in range(12)])


def transpose(pitch_BCPT: Tensor, semitones_B: Tensor, octaves: int) -> Tensor:
    """Each pitch view (C, 12, T) moved up by its number of semitones; silence enters at the other end of the range."""
    batch, channels, _, frames = pitch_BCPT.shape
    axis_BOSPT = pitch_BCPT.view(batch, octaves, channels // octaves, 12, frames)
    line_BNST = axis_BOSPT.permute(0, 1, 3, 2, 4).reshape(batch, octaves * 12, -1, frames)
    rows = []
    for line_NST, k in zip(line_BNST, semitones_B.tolist()):
        moved = line_NST.roll(k, 0)
        moved[slice(0, k) if k >= 0 else slice(k, None)] = SILENCE
        rows.append(moved)
    return torch.stack(rows).view(batch, octaves, 12, -1, frames).permute(0, 1, 3, 2, 4).reshape(pitch_BCPT.shape)


@dataclass(frozen=True)
class TrainingBatch:
    """Both views, class numbers by attribute, caption tokens, and whether the caption describes the window."""

    pitch_BCPT: Tensor
    mel_BMT: Tensor
    labels: dict[str, Tensor]
    text_BL: Tensor
    captioned_B: Tensor


class BatchSampler:
    """Batches of distinct clips, each by one of its windows, some of them transposed; all drawn from one seed.

    Args:
        text_VL: caption tokens of each of V clips.
        batch: clips per batch.
        transposed: share of windows that are transposed.
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
        moves = {name: transposed_labels(values, MISSING) for name, values in classes.items()}
        self.moves = {name: table for name, table in moves.items() if table is not None}

    def sample(self) -> TrainingBatch:
        """The next batch."""
        clip_B = torch.randperm(len(self.text_VL), generator=self.rng)[: self.batch]
        form_B = (torch.rand(self.batch, generator=self.rng) * self.forms_V[clip_B]).long()
        move_B = torch.randint(SEMITONES[0], SEMITONES[1] + 1, (self.batch,), generator=self.rng)
        move_B[torch.rand(self.batch, generator=self.rng) >= (self.transposed if self.moves else 0.0)] = 0
        example_B = self.first_V[clip_B] + form_B
        labels = {name: label_N[example_B] for name, label_N in self.examples.labels.items()}
        for name, table in self.moves.items():
            known_B = labels[name] != MISSING
            labels[name] = torch.where(known_B, table[move_B % 12, labels[name].clamp(min=0)], MISSING)
        pitch_BCPT = transpose(self.examples.pitch_NCPT[example_B].float(), move_B, OCTAVES)
        mel_BMT = self.examples.mel_NMT[example_B].float()
        return TrainingBatch(pitch_BCPT, mel_BMT, labels, self.text_VL[clip_B], move_B == 0)


def tagger_loss(
    output: TaggerOutput,
    text_BE: Tensor,
    labels: dict[str, Tensor],
    same_BB: Tensor,
    captioned_B: Tensor,
    scale: Tensor,
    weight: float,
) -> Tensor:
    """Mean cross-entropy over attributes plus ``weight`` times the symmetric contrastive loss.

    Args:
        text_BE: the captions as unit vectors in the space shared with audio.
        same_BB: whether captions i and j are equal, so that each is correct for both clips.
        captioned_B: whether the caption describes the window; other windows are left out of the contrastive loss.
        scale: inverse temperature of the contrastive loss.
    """
    terms = [
        F.cross_entropy(output.logits[name], target, ignore_index=MISSING)
        for name, target in labels.items()
        if bool((target != MISSING).any())
    ]
    attributes = torch.stack(terms).mean() if terms else output.embedding_BE.new_zeros(())
    if not captioned_B.any():
        return attributes
    same_CC = same_BB[captioned_B][:, captioned_B].float()
    cosine_CC = scale * output.shared_BE[captioned_B] @ text_BE[captioned_B].T
    target_CC = same_CC / same_CC.sum(1, keepdim=True)
    contrast = (F.cross_entropy(cosine_CC, target_CC) + F.cross_entropy(cosine_CC.T, target_CC)) / 2
    return attributes + weight * contrast
