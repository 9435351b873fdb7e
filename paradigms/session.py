"""Sampling loops whose steps can be captured as CUDA graphs: static buffers, and steps that read and write only them.

A paradigm's session owns every tensor that its loop reads and writes. On a CPU a step is simply called. On CUDA the
first step of each kind is called too, the second is captured as a graph, and from then on the graph is replayed:
otherwise launching the hundreds of small kernels of a step would take longer than running them. A step must therefore
not wait for the device, must not branch on numbers that are there, and must have the same result when it is repeated.
If a capture fails, the process calls all later steps without graphs, since CUDA does not promise to capture again;
``capture_failures`` returns the reason.

Sessions outlive a batch, so that the next batch of the same shape replays the same graphs (``Sessions``). For this
texts are padded to multiples of ``TEXT_BUCKET`` tokens; otherwise nearly every batch would have its own shape.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..backbones.cache import TextMemory

TEXT_BUCKET = 32
"""Tokens. Few enough to cost little; captions of 20 to 64 words then need only two graphs per kind of step."""
HELD = 4
"""Most sessions that a model keeps."""


Step = Callable[[], None]


class _Captures:
    """State of capturing in this process."""

    on: frozenset[str] = frozenset({"cuda"})  # types of devices
    count = 0
    warm_ups = 0
    failures: list[str] = []  # noqa: RUF012


def capture_count() -> int:
    """Number of steps that this process has captured."""
    return _Captures.count


def warm_up_count() -> int:
    """Number of steps that this process has captured, or called for the first time before it captures them.

    A time in which this number grew includes warming up.
    """
    return _Captures.count + _Captures.warm_ups


def capture_failures() -> list[str]:
    """One line for each capture that failed; empty if none did."""
    return list(_Captures.failures)


@contextlib.contextmanager
def plain_steps() -> Iterator[None]:
    """Call all steps without graphs, as on a CPU, while the context is open."""
    with _captures_on(frozenset()):
        yield


@contextlib.contextmanager
def simulated_captures() -> Iterator[None]:
    """Simulate captures on a CPU while the context is open, for tests without a GPU.

    A replay calls the function that was passed when the step was captured, with the tensors of that time.
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
    return device.type in _Captures.on and not _Captures.failures


class Session:
    """Base of the paradigms' sessions; subclasses add buffers, ``start`` and steps.

    Attributes:
        text, controls: conditions of the clips, as the model reads them; set by ``condition``.
        busy: whether a clip is being streamed; another clip then needs another session.
        owner: the ``Sessions`` that keep this one; they may drop others if memory runs out.
    """

    text: TextMemory
    controls: Tensor | None

    def __init__(self, device: torch.device) -> None:
        self.device, self.busy = device, False
        self.owner: weakref.ref[Sessions] | None = None
        self._graphs: dict[Hashable, Step] = {}  # what repeats a step: the graph, or the step itself
        self._called: set[Hashable] = set()
        self._pool: Any = None
        self._conditioned = False

    @property
    def model(self) -> Any:
        """The paradigm, which owns the session; the reference back is weak, so that ``del model`` frees both."""
        return self._model()

    @model.setter
    def model(self, model: Any) -> None:
        self._model = weakref.ref(model)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Mark the session as busy."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def condition(self, text: TextMemory, controls: Tensor | None) -> None:
        """Set the conditions of the next clips, by copying into the tensors that captured steps read."""
        if not self._conditioned:
            # The mask may belong to the caller, so that later conditions must not overwrite it.
            self.text = dataclasses.replace(text, mask_BL=text.mask_BL.clone())
            self.controls, self._conditioned = controls, True
            return
        self.text.copy_(text)
        if self.controls is not None and controls is not None:
            self.controls.copy_(controls)

    def run(self, kind: Hashable, step: Step) -> None:
        """Do one step. All steps of the same ``kind`` must read and write the same tensors in the same shapes."""
        if not captures_on(self.device):
            step()
            return
        if kind not in self._called:  # this call is the warm-up of a capture
            self._called.add(kind)
            _Captures.warm_ups += 1
            self._first_call(step)
            return
        if kind not in self._graphs:
            self._graphs[kind] = self._captured(kind, step)
        self._graphs[kind]()

    def _first_call(self, step: Step) -> None:
        try:
            step()
        except torch.OutOfMemoryError:
            owner = None if self.owner is None else self.owner()
            if owner is None or not owner.keep_only(self):
                raise
            step()

    def _captured(self, kind: Hashable, step: Step) -> Step:
        stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
        try:
            graph = self.capture(step)
        except RuntimeError as error:
            if stream is not None:
                _end_failed_capture(stream)
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            _Captures.failures.append(f"{type(self).__name__} step {kind}: not captured ({first_line})")
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return step
        _Captures.count += 1
        return graph

    def capture(self, step: Step) -> Step:
        """Record ``step`` as a graph without doing it; returns what replays the graph."""
        if self.device.type != "cuda":
            return step
        graph = torch.cuda.CUDAGraph()
        gc.freeze()  # some versions of torch collect garbage before each capture, which takes 0.1 s
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                step()
        finally:
            gc.unfreeze()
        self._pool = graph.pool()  # graphs run one after the other, so they can share scratch memory
        return graph.replay


class Sessions:
    """The sessions that a model keeps between batches; the least recently used is dropped first.

    Sessions are kept only where steps are captured; elsewhere a new one is made for each batch. If memory runs out
    while a session is made or in its first steps, the others are dropped.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Session] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Session], device: torch.device) -> Session:
        """The session for ``key``, made if there is none."""
        if not captures_on(device):
            return make()
        if key in self._held and self._held[key].busy:
            return make()
        if key not in self._held:
            while len(self._held) >= HELD:
                self._held.popitem(last=False)
            self._held[key] = self._made(make)
            self._held[key].owner = weakref.ref(self)
        self._held.move_to_end(key)
        return self._held[key]

    def keep_only(self, session: Session) -> bool:
        """Drop all sessions except ``session`` and those in use; returns whether any was dropped."""
        gone = [key for key, held in self._held.items() if held is not session and not held.busy]
        for key in gone:
            del self._held[key]
        _empty_cache()
        return bool(gone)

    def _made(self, make: Callable[[], Session]) -> Session:
        try:
            return make()
        except torch.OutOfMemoryError:
            self.clear()
            return make()

    def clear(self) -> None:
        """Drop all sessions, their graphs and their memory."""
        if self._held:
            self._held.clear()
            _empty_cache()

    def __deepcopy__(self, memo: dict[int, Any]) -> Sessions:
        """A copied model starts without sessions, since captured graphs read the weights of the original."""
        return Sessions()


def _end_failed_capture(stream: torch.cuda.Stream) -> None:
    """Undo what a capture that fails may leave behind: its own stream as the current one, and a random generator that
    still counts for the graph, so that every later draw from it raises an error."""
    torch.cuda.set_stream(stream)
    generator = torch.cuda.default_generators[stream.device.index]
    generator.graphsafe_set_state(generator.clone_state())  # a cloned state belongs to no graph


def _empty_cache() -> None:
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):  # after a capture that failed
            torch.cuda.empty_cache()
