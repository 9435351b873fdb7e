"""Sampling loops whose steps can be captured: static buffers, and steps that are plain functions of them.

A paradigm's session owns every tensor that its loop reads and writes. On a CPU a step is simply called. On CUDA the
first step of each kind is called too, the second is captured as a graph, and the graph is replayed from then on: a step
of hundreds of small kernels is otherwise held up by launching them. For that a step must not wait for the device and
must not branch on numbers that live there. A capture that fails leaves its kind to plain calls; ``notes`` says so.

Sessions outlive a batch, so that the next batch of the same shape replays the graphs of the last (``Sessions``). Texts
are padded to multiples of ``TEXT_BUCKET`` tokens for that, or every batch of captions would have a shape of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from backbones import TextMemory

TEXT_BUCKET = 32
"""Tokens: few enough to cost little, and captions of 20 to 64 words need only two graphs per kind of step."""
HELD = 4
"""Sessions that a model keeps."""


class Graph(Protocol):
    """A captured step."""

    def replay(self) -> None:
        """Do the step again."""
        ...


@dataclass
class _Called:
    """In place of a captured step where there is no GPU: the step that would have been captured."""

    replay: Callable[[], None]


class _Captures:
    """Where this process captures steps, how many it has captured, and what went wrong."""

    on: frozenset[str] = frozenset({"cuda"})  # types of devices
    count = 0
    failures: list[str] = []  # noqa: RUF012


def capture_count() -> int:
    """Steps that this process has captured so far. What is timed while it grows is no sampling time."""
    return _Captures.count


def capture_failures() -> list[str]:
    """One line for each kind of step whose capture failed; those run as plain calls."""
    return list(_Captures.failures)


@contextlib.contextmanager
def plain_steps() -> Iterator[None]:
    """Call all steps, as on a CPU, while the context is open."""
    with _captures_on(frozenset()):
        yield


@contextlib.contextmanager
def simulated_captures() -> Iterator[None]:
    """Go through the motions of capturing on a CPU too while the context is open, for tests and trials without a GPU.

    A replay calls the very step that was captured, with whatever it had at hand then, as a graph does.
    """
    with _captures_on(frozenset({"cuda", "cpu"})):
        yield


@contextlib.contextmanager
def _captures_on(devices: frozenset[str]) -> Iterator[None]:
    before, _Captures.on = _Captures.on, devices
    try:
        yield
    finally:
        _Captures.on = before


def captures_on(device: torch.device) -> bool:
    """Whether steps on ``device`` are captured."""
    return device.type in _Captures.on


class Session:
    """Base of the paradigms' sessions; subclasses add buffers, ``start`` and steps.

    Attributes:
        text, controls: conditions of the clips, as the model reads them; set by ``condition``.
    """

    text: TextMemory
    controls: Tensor | None

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: dict[Hashable, Graph | None] = {}  # None: to be called plainly
        self._called: set[Hashable] = set()
        self._pool: Any = None
        self._conditioned = False

    def condition(self, text: TextMemory, controls: Tensor | None) -> None:
        """Take the next clips' conditions, into the tensors held already, which captured steps read."""
        if not self._conditioned:
            # The mask may be the caller's own, which later conditions must not overwrite.
            self.text = dataclasses.replace(text, mask_BL=text.mask_BL.clone())
            self.controls, self._conditioned = controls, True
            return
        self.text.copy_(text)
        if self.controls is not None and controls is not None:
            self.controls.copy_(controls)

    def run(self, kind: Hashable, step: Callable[[], None]) -> None:
        """Do one step. All steps of one ``kind`` read and write the same tensors in the same shapes."""
        if not captures_on(self.device) or kind not in self._called:
            self._called.add(kind)  # this call is the warm-up of a capture
            step()
            return
        if kind not in self._graphs:
            self._graphs[kind] = self._captured(kind, step)
        graph = self._graphs[kind]
        step() if graph is None else graph.replay()

    def _captured(self, kind: Hashable, step: Callable[[], None]) -> Graph | None:
        try:
            graph = self.capture(step)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            _Captures.failures.append(f"{type(self).__name__} step {kind}: not captured ({first_line})")
            return None
        _Captures.count += 1
        return graph

    def capture(self, step: Callable[[], None]) -> Graph:
        """Record ``step`` without doing it."""
        if self.device.type != "cuda":
            return _Called(step)
        graph = torch.cuda.CUDAGraph()
        gc.freeze()  # torch collects garbage before it captures; looking through all that lives takes 0.1 s each time
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                step()
        finally:
            gc.unfreeze()
        self._pool = graph.pool()  # graphs run one after the other, so their scratch memory may be the same
        return graph


class Sessions:
    """The sessions that a model keeps between batches, the least recently used dropped first.

    Sessions are kept only where steps are captured; a new one is made for each batch elsewhere.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Session] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Session], device: torch.device) -> Session:
        """The session of ``key``, made if there is none."""
        if not captures_on(device):
            return make()
        if key not in self._held:
            while len(self._held) >= HELD:
                self._held.popitem(last=False)
            self._held[key] = self._made(make)
        self._held.move_to_end(key)
        return self._held[key]

    def _made(self, make: Callable[[], Session]) -> Session:
        try:
            return make()
        except torch.OutOfMemoryError:  # the others may hold what it needs
            self.clear()
            return make()

    def clear(self) -> None:
        """Drop all sessions, their graphs and their memory."""
        self._held.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __deepcopy__(self, memo: dict[int, Any]) -> Sessions:
        """A copied model has sessions of its own: graphs read the weights of the model they were captured with."""
        return Sessions()
