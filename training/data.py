"""Training batches: a deterministic stream of clips that is the same for every paradigm.

The sample number g = (update - 1) * batch + position is the only state of the stream. Its clip is entry g mod n of the
permutation of epoch g // n (so no clip repeats within an epoch); its crop, whether its conditions are dropped, and the
seed of its noise are hashes of (seed, g). So the training data do not depend on the paradigm, on the number of
processes or micro-batches, or on where a run was interrupted; and two batch sizes go through the same samples in the
same order.

In unconditional pre-training (``TrainSpec.pretraining``) the same samples come without text and controls; or samples of
another corpus, which needs no captions.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..common.config import config_hash
from ..common.errors import UserError
from ..common.lines import count, say_once
from ..common.seeds import ItemRNG, Noise, item_rng, seed_for
from ..paradigms.base import Batch, Conditions
from ..representations.latents.encoded import EncodedSplit
from ..representations.spec import LatentSpec
from ..representations.text.encoders import NoText, TextEncoder
from .spec import TrainSpec

ENCODE_AT_ONCE = 256
"""Captions per call of the text encoder."""
DATA = (
    "batch", "seconds", "seed", "condition_dropout", "control_dropout", "joint_control_dropout", "inpainting", "hidden",
    "margin", "pretraining",
)  # fmt: skip
"""Fields of ``TrainSpec`` that decide the data."""


@dataclass(frozen=True)
class TrainingSample:
    """One training sample: a crop of ``clip_id`` from latent frame ``start_frame``, with or without its conditions.

    Attributes:
        seed: of its noise.
        withheld: names of the controls that are withheld.
        hidden: first frame of the span that an inpainting update hides.
    """

    clip_id: str
    start_frame: int
    keep_text: bool
    seed: int
    withheld: frozenset[str] = frozenset()
    hidden: int = 0


class BatchStream:
    """Batches of normalised latents, codes and conditions, by update number, for a training run of ``spec``.

    Args:
        split: the encoded training clips. Those shorter than a crop are left out; a note on stderr counts them.
        latent: normalisation of the latents.
        text: encoder of the captions; each caption is encoded once, when the stream is made.
        unlabelled: the clips of pre-training, whose captions are not read; None: those of ``split``.
        noise: how random numbers are drawn (``common.seeds``).

    Raises:
        UserError: no clip is as long as a crop, or one of ``split`` has no caption.
    """

    def __init__(
        self, split: EncodedSplit, latent: LatentSpec, text: TextEncoder, spec: TrainSpec,
        unlabelled: EncodedSplit | None = None, noise: Noise = "philox",
    ) -> None:  # fmt: skip
        self.noise, lengths = noise, split.frames
        self._split, self._lengths, self._latent, self.spec = split, lengths, latent, spec
        self.frames = latent.frames(spec.seconds)
        self._kept = [i for i, length in enumerate(lengths) if length >= self.frames]
        if not self._kept:
            longest = f"the longest of {len(lengths)} has {latent.seconds(max(lengths, default=0)):g} s"
            raise UserError(
                f"no clip is as long as a crop, {latent.seconds(self.frames):g} s ({longest}); lower train.seconds"
            )
        if len(self._kept) < len(lengths):
            few = f"{len(lengths) - len(self._kept)} of {count(len(lengths), 'clip')}"
            say_once(f"note: left out {few} that last less than {latent.seconds(self.frames):g} s")
        clips = [split.clips[i] for i in self._kept]
        silent = [clip.id for clip in clips if not clip.caption]
        if silent and not isinstance(text, NoText):
            raise UserError(f"clip {silent[0]} has no caption; add one, or use its corpus for pre-training only")
        self._text = encode_captions([clip.caption for clip in clips], text)
        # With torch.compile all texts of the run have one length.
        self._tokens = max(len(mask) for _, mask in self._text) if spec.compile else 0
        self._before: BatchStream | None = None  # the stream of pre-training
        if spec.pretraining:
            withheld = dataclasses.replace(spec, pretraining=0, condition_dropout=1.0)
            self._before = BatchStream(unlabelled or split, latent, NoText(text.spec), withheld, noise=noise)
            self._before._tokens = self._tokens

    def __len__(self) -> int:
        """Clips in one epoch."""
        return len(self._kept)

    @property
    def fingerprint(self) -> str:
        """Hex digest of the clips, the normalisation of their latents, and all settings of the stream."""
        clips = [[self._split.clips[i].id, self._split.clips[i].caption, self._lengths[i]] for i in self._kept]
        spec, tasks = self.spec, []
        if self._split.controls:
            tasks.append([sorted(self._split.controls), spec.control_dropout, spec.joint_control_dropout])
        if spec.inpainting:
            tasks.append([spec.inpainting, spec.hidden, spec.margin])
        if self._before is not None:
            tasks.append([spec.pretraining, self._before.fingerprint])
        tasks += [["noise", self.noise]] * (self.noise != "torch")
        settings = [self.frames, spec.batch, spec.seed, spec.condition_dropout, *tasks]
        return config_hash([clips, settings, self._latent.name, self._latent.mean, self._latent.std])

    def plan(self, update: int) -> list[TrainingSample]:
        """The samples of ``update`` (from 1), over the whole global batch, without loading them."""
        return [item for _, item in self._at(update)._draw(update, range(self.spec.batch))]

    def _at(self, update: int) -> BatchStream:
        """The stream of the phase that ``update`` belongs to."""
        return self._before if self._before is not None and update <= self.spec.pretraining else self

    def inpaints(self, update: int) -> bool:
        """Whether ``update`` trains inpainting."""
        return seed_for(self.spec.seed, "inpainting", update) / 2**63 < self.spec.inpainting

    def batch(
        self, update: int, positions: slice = slice(None), device: torch.device | str = "cpu"
    ) -> tuple[Batch, ItemRNG]:
        """Data and per-sample noise streams of some ``positions`` of the global batch of ``update``."""
        batch, seeds = self.host_batch(update, positions)
        return batch.to(device), item_rng(seeds, device, self.noise)

    def host_batch(self, update: int, positions: slice = slice(None)) -> tuple[Batch, list[int]]:
        """As ``batch``, but on the CPU and with the seeds of the noise streams; safe to call from another thread."""
        if (phase := self._at(update)) is not self:
            return phase.host_batch(update, positions)
        drawn = self._draw(update, range(self.spec.batch)[positions])
        crops = [(self._kept[row], slice(item.start_frame, item.start_frame + self.frames)) for row, item in drawn]
        z_BTD = torch.stack([self._split.z[clip][crop] for clip, crop in crops]).float()
        codes_BKT = known_BT = None
        if self._split.codes is not None:
            codes_BKT = torch.stack([self._split.codes[clip][:, crop] for clip, crop in crops]).long()
        if self.inpaints(update):
            known_BT = self._known(torch.tensor([item.hidden for _, item in drawn]))
        hidden = self.frames if known_BT is None else self.spec.hidden_frames(self.frames)
        conditions = self._conditions(drawn, crops)
        batch = Batch(self._latent.normalise(z_BTD), codes_BKT, conditions, known_BT, hidden=hidden)
        return batch, [item.seed for _, item in drawn]

    def _conditions(self, drawn: list[tuple[int, TrainingSample]], crops: list[tuple[int, slice]]) -> Conditions:
        texts, masks = (pad_sequence([self._text[row][part] for row, _ in drawn], batch_first=True) for part in (0, 1))
        controls = {
            name: torch.stack([tokens[clip][crop] for clip, crop in crops]).long()
            for name, tokens in self._split.controls.items()
        }
        kept = {name: torch.tensor([name not in item.withheld for _, item in drawn]) for name in controls}
        conditions = Conditions(texts, masks, controls).padded(self._tokens)
        return conditions.drop(torch.tensor([item.keep_text for _, item in drawn]), kept)

    def _known(self, hidden_B: Tensor) -> Tensor:
        """(B, T), False on the hidden spans that begin at ``hidden_B``."""
        frame = torch.arange(self.frames)
        return (frame < hidden_B[:, None]) | (frame >= hidden_B[:, None] + self.spec.hidden_frames(self.frames))

    def shared(self, update: int) -> ItemRNG:
        """A new stream for random numbers that the global batch of ``update`` shares, equal in all processes.

        It is on the CPU, because its numbers, such as a mask ratio, decide shapes, which the host must know.
        """
        return item_rng([seed_for(self.spec.seed, "shared", update)], "cpu", self.noise)

    def _draw(self, update: int, positions: range) -> list[tuple[int, TrainingSample]]:
        """(index among the kept clips, sample) at ``positions`` of ``update``."""
        return [self._sample((update - 1) * self.spec.batch + position) for position in positions]

    def _sample(self, g: int) -> tuple[int, TrainingSample]:
        seed = self.spec.seed
        epoch, entry = divmod(g, len(self._kept))
        row = int(_permutation(seed, epoch, len(self._kept))[entry])
        clip = self._kept[row]
        start = seed_for(seed, "crop", g) % (self._lengths[clip] - self.frames + 1)
        start -= start % self._latent.group
        keep = seed_for(seed, "text", g) / 2**63 >= self.spec.condition_dropout
        margin = round(self.spec.margin * self.frames)
        room = self.frames - self.spec.hidden_frames(self.frames) - 2 * margin
        hidden = margin + seed_for(seed, "hidden", g) % max(room + 1, 1)
        name = self._split.clips[clip].id
        return row, TrainingSample(name, start, keep, seed_for(seed, "noise", g), self._withheld(g, keep), hidden)

    def _withheld(self, g: int, keep_text: bool) -> frozenset[str]:
        """Names of the controls withheld from sample ``g``: all if its text is, so that the null branch is learnt."""
        spec, names = self.spec, self._split.controls
        if not keep_text or seed_for(spec.seed, "controls", g) / 2**63 < spec.joint_control_dropout:
            return frozenset(names)
        return frozenset(n for n in names if seed_for(spec.seed, "control", n, g) / 2**63 < spec.control_dropout)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed_for(seed, "epoch", epoch))).permutation(n)


def encode_captions(captions: list[str], encoder: TextEncoder) -> list[tuple[Tensor, Tensor]]:
    """(text (l, ...), mask (l,)) of each caption up to its last real token; equal captions share one pair."""
    unique = list(dict.fromkeys(captions))
    encoded: dict[str, tuple[Tensor, Tensor]] = {}
    for start in range(0, len(unique), ENCODE_AT_ONCE):
        part = unique[start : start + ENCODE_AT_ONCE]
        text, mask_BL = encoder.encode(part)
        for caption, row, mask in zip(part, text, mask_BL, strict=True):
            length = int(mask.nonzero().max()) + 1 if mask.any() else 1
            encoded[caption] = (row[:length].detach().cpu().clone(), mask[:length].cpu().clone())
    return [encoded[caption] for caption in captions]
