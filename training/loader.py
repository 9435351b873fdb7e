"""Batches in the order in which an update takes them, made ahead on a GPU so that it never waits for the host."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

import torch

from ..common.seeds import ItemRNG, item_rng
from ..paradigms.base import Batch
from .data import BatchStream

AHEAD = 2
"""Micro-batches that are ready before they are asked for."""

Made = tuple[Batch, list[int]]


class Loader:
    """The micro-batches of one process: those of each update, in the order of ``parts``, update after update.

    On the CPU a batch is made when it is asked for. For another device a thread makes ``AHEAD`` batches ahead in pinned
    memory, and the copy to the device does not wait. Close it when training ends.

    Args:
        parts: positions of the global batch for each micro-batch.
        first: the first update that is asked for.
    """

    def __init__(self, stream: BatchStream, parts: Sequence[slice], device: torch.device, first: int) -> None:
        self._stream, self._parts, self._device = stream, parts, device
        self._next = (first, 0)
        self._ready: queue.Queue[Made | BaseException] = queue.Queue(AHEAD)
        self._closed = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        if device.type != "cpu":
            self._thread = threading.Thread(target=self._make, args=(first,), name="loader", daemon=True)

    def next(self) -> tuple[Batch, ItemRNG]:
        """The next micro-batch on the device, and the noise streams of its clips.

        Raises:
            Exception: whatever went wrong in making it.
        """
        update, i = self._next
        self._next = (update, i + 1) if i + 1 < len(self._parts) else (update + 1, 0)
        if self._thread is None:
            return self._stream.batch(update, self._parts[i], self._device)
        if self._thread.ident is None:
            self._thread.start()
        made = self._failure or self._ready.get()
        if isinstance(made, BaseException):
            self._failure = made
            raise made
        batch, seeds = made
        return batch.to(self._device), item_rng(seeds, self._device, self._stream.noise)

    def close(self) -> None:
        """Stop the thread; no batch can be asked for after that."""
        self._failure = self._failure or RuntimeError("the loader is closed")
        self._closed.set()
        while self._thread is not None and self._thread.is_alive():
            try:
                self._ready.get(timeout=0.05)  # it may be waiting for room
            except queue.Empty:
                continue

    def _make(self, update: int) -> None:
        try:
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device)  # or memory would be pinned in a context on the first GPU
            while not self._closed.is_set():
                for part in self._parts:
                    batch, seeds = self._stream.host_batch(update, part)
                    self._ready.put((batch.pinned() if self._device.type == "cuda" else batch, seeds))
                update += 1
        except BaseException as error:  # raised where the batch is asked for
            self._ready.put(error)
