"""Comparisons over several batches of prompts of unequal lengths: later batches must not capture any step again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gpu.sampling import LIMITS, code_error, error
from gpu.toys import Size, build, conditions_of, sampler_of
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.ar import AR
from paradigm_bench.paradigms.session import capture_count, plain_steps

# Tokens of the two prompts of each batch. Sampling pads these texts to 32 or 64 tokens. Each of the two shapes needs
# two batches until all steps are captured, because the first batch of a shape only warms up. No batch has only texts of
# full length: these need no mask, which is a third shape.
FIRST = ((30, 12), (20, 20), (37, 5), (61, 40))
SECOND = ((25, 3), (32, 1), (33, 20), (64, 61))
# These texts have 32 tokens already, so that sampling does not copy them to pad them.
EXACT = ((32, 7), (15, 32))


class Batches:
    """A model that draws the batches ``FIRST``, then the batches ``SECOND``."""

    def __init__(self, paradigm: str, device: str, size: Size) -> None:
        self.name, self.device, self.size = paradigm, device, size
        self.model = build(paradigm, size).to(device)

    @cached_property
    def drawn(self) -> tuple[int, int, list[Tensor]]:
        """Number of captures in the first batches and in the second batches, and the clips of the second batches."""
        start = capture_count()
        for lengths in FIRST:
            self.draw(lengths)
        middle = capture_count()
        clips = [self.draw(lengths) for lengths in SECOND]
        return middle - start, capture_count() - middle, clips

    def new_captures(self) -> float:
        """Number of captures in the second batches.

        Raises:
            AssertionError: the first batches captured nothing.
        """
        first, second, _ = self.drawn
        assert first, "the first batches captured nothing"
        return float(second)

    def error(self) -> float:
        """Largest error of the second batches against plain steps."""
        clips = self.drawn[2]
        if isinstance(self.model, AR):
            return max(self.code_error(lengths, codes) for lengths, codes in zip(SECOND, clips))
        with plain_steps():
            plain = [self.draw(lengths) for lengths in SECOND]
        return max(error(ours, theirs) for ours, theirs in zip(clips, plain))

    def repeated(self) -> float:
        """Error of a batch that is drawn again from the same conditions, after another batch.

        The first batch makes the buffers of the session. If the second batch overwrites the conditions of the first,
        the third one shows it.
        """
        model = copy.deepcopy(self.model)  # it has no sessions yet
        given = [(lengths, self.conditions(lengths)) for lengths in EXACT]
        a, _, again = (self.draw(*one, model) for one in (given[0], given[1], given[0]))
        return self.code_error(EXACT[0], again) if isinstance(model, AR) else error(again, a)

    def code_error(self, lengths: Sequence[int], codes: Tensor) -> float:
        """Error of the codes of one batch by the model's own distributions."""
        return code_error(self.model, codes, self.conditions(lengths), self.rng(lengths), sampler_of(self.model))

    def draw(self, lengths: Sequence[int], conditions: Any = None, model: Any = None) -> Tensor:
        """Clips of one batch, by default from new conditions and by the model that draws the other batches."""
        model, conditions = model or self.model, conditions or self.conditions(lengths)
        return model.generate(conditions, self.size.frames, sampler_of(model), self.rng(lengths)).cpu()

    def conditions(self, lengths: Sequence[int]) -> Any:
        """Random prompts of these lengths; they differ from batch to batch."""
        return conditions_of(lengths, sum(lengths), torch.float32).to(self.device)

    def rng(self, lengths: Sequence[int]) -> ItemRNG:
        """Random streams of the clips of one batch."""
        return ItemRNG([lengths[0], 100 + lengths[1]], self.device)


def comparisons(paradigm: str, device: str, size: Size) -> Iterator[tuple[str, Any, Any]]:
    """Comparisons of one paradigm: name, function that computes the error, function that returns its limit."""
    batches = Batches(paradigm, device, size)
    limit = LIMITS[batches.model.view, "fp32"]
    yield f"{paradigm}: captures in a second round of batches", batches.new_captures, lambda: 0.0
    yield f"{paradigm}: second round, captured / plain", batches.error, lambda: limit
    yield f"{paradigm}: the same conditions before and after others", batches.repeated, lambda: limit
