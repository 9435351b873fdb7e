"""The validation loss: a paradigm's own loss on held-out clips, with random numbers that never change.

The first ``train.validation_clips`` clips of the corpus' valid split, in an order that a hash decides, are cropped at a
fixed place and keep their text and controls. Noise, times, masks and crops are functions of the clip and of its place
in that order, not of the seed of training or of the update, so that the losses of two updates, two seeds or two
optimisers of one paradigm are paired: their difference varies far less than each of them. (Losses of two paradigms do
not compare.) Uniform numbers such as times are stratified over the clips (Latin hypercube sampling, McKay et al. 1979),
and a batch is small, since mask ratios are drawn once per batch.

The loss is that of the averaged weights. During unconditional pre-training it is unconditional too; where a share of
the updates trains inpainting, as large a share of the batches hides a span. Reward tuning has no validation loss: its
clips are weighted, and ``tune.jsonl`` says what it did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..common.config import config_hash
from ..common.lines import count, say_once
from ..common.seeds import ItemRNG, seed_for
from ..paradigms.base import Batch, Conditions, Paradigm
from ..representations.latents.encoded import EncodedSplit
from ..representations.spec import LatentSpec
from ..representations.text.encoders import NoText, TextEncoder
from .data import encode_captions
from .spec import TrainSpec

AT_ONCE = 8


class StratifiedRNG(ItemRNG):
    """Streams of some of ``n`` clips whose uniform numbers are stratified over all of them.

    Each draw of a call has its own random order of the clips; clip i of ``n`` gets a uniform number from the stratum of
    its place p, [p / n, (p + 1) / n). For one clip the draws are independent and uniform, as in ``ItemRNG``.

    Args:
        places: of these clips among the ``n``.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str, places: Sequence[int], n: int) -> None:
        super().__init__(seeds, device)
        self._places, self._n, self._calls = list(places), n, 0

    def again(self) -> StratifiedRNG:
        """The same streams from their beginning."""
        return StratifiedRNG(self.seeds, self.device, self._places, self._n)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1), (B, *shape) float32."""
        return (self._stratified(*shape) * (1 - 2.0**-24)).float()

    def integers(self, high: int, *shape: int) -> Tensor:
        """Uniform integers in [0, high), (B, *shape) int64."""
        return (self._stratified(*shape) * high).long().clamp(max=high - 1)

    def _stratified(self, *shape: int) -> Tensor:
        """(B, *shape) float64."""
        self._calls += 1
        draws = np.random.Generator(np.random.PCG64(seed_for("strata", self._calls)))
        # Row by row, so that two batches with different numbers of draws have the same orders for those that both have.
        orders_MN = draws.permuted(np.tile(np.arange(self._n), (math.prod(shape), 1)), axis=1)
        place_BM = torch.from_numpy(np.ascontiguousarray(orders_MN[:, self._places].T)).to(self.device)
        within = super().uniform(*shape).double()
        return (place_BM.view(within.shape) + within) / self._n


class HeldOutClips:
    """Held-out clips for a training run of ``spec``.

    Args:
        split: the encoded clips. Those shorter than a crop or without a caption are left out.
        latent, text: as in ``BatchStream``.

    Attributes:
        clips: how many there are; 0: there is no validation loss.
    """

    def __init__(self, split: EncodedSplit, latent: LatentSpec, text: TextEncoder, spec: TrainSpec) -> None:
        self._split, self._latent, self._spec, self.frames = split, latent, spec, latent.frames(spec.seconds)
        untold = isinstance(text, NoText)
        fit = [i for i, n in enumerate(split.frames) if n >= self.frames and (untold or split.clips[i].caption)]
        self._rows = sorted(fit, key=lambda i: seed_for("validation", split.clips[i].id))[: spec.validation_clips]
        self.clips = len(self._rows)
        if self.clips < spec.validation_clips:
            found = f"{count(self.clips, 'clip')} for the validation loss"
            say_once(f"note: {found}, all of the valid split that fit, not {spec.validation_clips}")
        self._text = encode_captions([split.clips[i].caption for i in self._rows], text)
        self._batches = [range(start, min(start + AT_ONCE, self.clips)) for start in range(0, self.clips, AT_ONCE)]

    @property
    def fingerprint(self) -> str:
        """Hex digest of the clips and of what is done with them."""
        clips = [[self._split.clips[i].id, self._split.clips[i].caption] for i in self._rows]
        return config_hash([clips, self.frames, self._latent.mean, self._latent.std, AT_ONCE])

    def loss(self, model: Paradigm, accelerator: Accelerator, unconditional: bool = False) -> tuple[float, float]:
        """Mean loss over the clips and its standard error, the same in all processes, which share the batches.

        Torch's random state and the mode of ``model`` are as before afterwards.
        """
        device, spec = accelerator.device, self._spec
        losses = torch.zeros(self.clips, dtype=torch.float64, device=device)
        was_training = model.training
        model.eval()
        index, processes = accelerator.process_index, accelerator.num_processes
        cards = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=cards):
            for number in range(index, len(self._batches), processes):
                places = self._batches[number]
                torch.manual_seed(seed_for("validation", "torch", number))
                batch = self.batch(number, unconditional).to(device)
                shared = StratifiedRNG([seed_for("validation", "shared", number)], "cpu", [number], len(self._batches))
                with torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bf16"):
                    items = model.loss(batch, self._rng(places, device), shared).per_item_B
                losses[places.start : places.stop] = items.double()
        model.train(was_training)
        values = torch.as_tensor(accelerator.reduce(losses, "sum")).tolist()
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        return mean, math.sqrt(squares / max(len(values) - 1, 1) / len(values))

    def batch(self, number: int, unconditional: bool = False) -> Batch:
        """Batch ``number`` from 0, on the CPU."""
        places = self._batches[number]
        crops = [(self._rows[place], self._crop(self._rows[place])) for place in places]
        z_BTD = torch.stack([self._split.z[clip][crop] for clip, crop in crops]).float()
        codes_BKT = None
        if self._split.codes is not None:
            codes_BKT = torch.stack([self._split.codes[clip][:, crop] for clip, crop in crops]).long()
        known_BT, hidden = None, self.frames
        if number < round(self._spec.inpainting * len(self._batches)):
            hidden = self._spec.hidden_frames(self.frames)
            known_BT = self._known(places, hidden)
        conditions = self._conditions(places, crops)
        if unconditional:
            conditions = conditions.text_alone().null()
        return Batch(self._latent.normalise(z_BTD), codes_BKT, conditions, known_BT, hidden=hidden)

    def _conditions(self, places: range, crops: list[tuple[int, slice]]) -> Conditions:
        texts, masks = (pad_sequence([self._text[at][part] for at in places], batch_first=True) for part in (0, 1))
        controls = {
            name: torch.stack([tokens[clip][crop] for clip, crop in crops]).long()
            for name, tokens in self._split.controls.items()
        }
        return Conditions(texts, masks, controls)

    def _known(self, places: range, hidden: int) -> Tensor:
        """(B, T), False on the hidden spans, whose place is that of training."""
        margin = round(self._spec.margin * self.frames)
        room = max(self.frames - hidden - 2 * margin, 0) + 1
        starts = [margin + seed_for("validation", "hidden", self._id(place)) % room for place in places]
        start_B1, frame = torch.tensor(starts)[:, None], torch.arange(self.frames)
        return (frame < start_B1) | (frame >= start_B1 + hidden)

    def _crop(self, row: int) -> slice:
        start = seed_for("validation", "crop", self._split.clips[row].id) % (self._split.frames[row] - self.frames + 1)
        start -= start % self._latent.group
        return slice(start, start + self.frames)

    def _rng(self, places: range, device: torch.device) -> StratifiedRNG:
        seeds = [seed_for("validation", "noise", self._id(place)) for place in places]
        return StratifiedRNG(seeds, device, places, self.clips)

    def _id(self, place: int) -> str:
        return self._split.clips[self._rows[place]].id
