"""Batches in the order in which updates use them; for a GPU they are prepared ahead, so that it need not wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

import torch

from ..common.seeds import ItemRNG, item_rng
from ..paradigms.base import Batch
from .data import BatchStream

AHEAD = 2
"""Number of micro-batches that are prepared ahead."""

Made = tuple[Batch, list[int]]


class BatchLoader:
    """The micro-batches of one process: those of each update, in the order of ``parts``, update after update.

    On the CPU a batch is prepared when ``next`` is called. For another device a thread prepares ``AHEAD`` batches in
    pinned memory, and the copy to the device does not block. Close the loader when training ends.

    Args:
        parts: positions of the global batch for each micro-batch.
        first: the first update.
    """

    def __init__(self, stream: BatchStream, parts: Sequence[slice], device: torch.device, first: int) -> None:
        if device.type == "cuda" and device.index is None:  # accelerate names the device without its index
            device = torch.device("cuda", torch.cuda.current_device())
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
            Exception: whatever went wrong in preparing it.
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
        """Stop the thread; ``next`` raises an error from then on."""
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
        except BaseException as error:  # raised again by next
            self._ready.put(error)
