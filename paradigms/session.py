"""Sampling loops whose steps can be captured: static buffers, and steps that are plain functions of them.

A paradigm's session owns every tensor that its loop reads and writes. On a CPU a step is simply called. On CUDA each
kind of step is called once to warm up, captured as a graph, and replayed from then on: a step of hundreds of small
kernels is otherwise held up by launching them. For that a step must not wait for the device, must not branch on numbers
that live there, and must give the same when it is done twice (a position that it moves, the ``cursor``, is put back
after the warm-up).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from backbones import TextMemory


class Session:
    """Base of the paradigms' sessions; subclasses add buffers, ``start`` and steps.

    Attributes:
        text, controls: what the clips are asked to be, as the model reads it; set by ``condition``.
    """

    text: TextMemory
    controls: Tensor | None

    def __init__(self, device: torch.device, cursor: Tensor | None = None) -> None:
        self.device, self._cursor = device, cursor
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None

        self._conditioned = False

    def condition(self, text: TextMemory, controls: Tensor | None) -> None:
        """Take the next clips' conditions; into the tensors held already, which captured steps read."""
        if not self._conditioned:
            self.text, self.controls, self._conditioned = text, controls, True
            return
        self.text.copy_(text)
        if self.controls is not None and controls is not None:
            self.controls.copy_(controls)

    def run(self, kind: Hashable, step: Callable[[], None]) -> None:
        """Do one step. All steps of one ``kind`` read and write the same tensors in the same shapes."""
        if self.device.type != "cuda":
            step()
            return
        if kind not in self._graphs:
            self._graphs[kind] = self._capture(step)
        self._graphs[kind].replay()

    def _capture(self, step: Callable[[], None]) -> torch.cuda.CUDAGraph:
        at = None if self._cursor is None else self._cursor.clone()
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            step()
        torch.cuda.current_stream(self.device).wait_stream(side)
        if self._cursor is not None and at is not None:
            self._cursor.copy_(at)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            step()
        self._pool = graph.pool()  # one after the other, so their scratch memory may be the same
        return graph
