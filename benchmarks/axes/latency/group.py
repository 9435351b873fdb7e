"""One model and its peer, timed in turns: load, first call, warm-up, rounds, and what each left behind."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch

from ....common.config import from_dict
from ....common.errors import UserError
from ....common.precision import float32_products
from ....paradigms.session import capture_failures, warm_up_count
from ...study.axis import Context, Measurement, UnsupportedError
from ...study.cells import Cell
from .baselines import PEERS
from .estimate import hopeless
from .metrics import Timed, measurement
from .model import Generate, Subject
from .tracker import memory
from .tracker.compilation import Compilations
from .tracker.gpu_monitor import Board
from .tracker.overhead import overhead_s
from .tracker.rates import measure_rates
from .tracker.rounds import Series, measure, warm_up
from .tracker.sampling import Work
from .tracker.stopping import PARTS, StopRule


class LatencyGroup:
    """Times all its cells at the first request, since they take turns; then hands out what came of each."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        self.cells, self.context = cells, context
        self._outcomes: dict[str, Measurement | Exception] = {}
        if cells[0].config["setting"]["compile"]:
            # A cold cache, or the time to compile would be that of reading it.
            self._cold = tempfile.TemporaryDirectory(prefix="inductor-")
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = self._cold.name

    def measure(self, cell: Cell) -> Measurement:
        """The cell's measurement; raises what its system raised."""
        if cell.id not in self._outcomes:
            setting = self.cells[0].config["setting"]
            try:
                with float32_products(setting["dtype"], setting["device"]):
                    self._measure_all()
            except Exception as error:  # what all need is missing, or a round broke off
                for each in self.cells:
                    self._outcomes.setdefault(each.id, error)
        outcome = self._outcomes[cell.id]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _measure_all(self) -> None:
        config = self.cells[0].config
        setting, rule = config["setting"], from_dict(StopRule, config["protocol"], "protocol")
        torch.set_num_threads(setting["threads"])
        self._outcomes = {cell.id: bad for cell in self.cells if (bad := hopeless(cell.config)) is not None}
        hopeful = [cell for cell in self.cells if cell.id not in self._outcomes]
        if not hopeful:
            return
        self._report(0.0, "loading")
        empty = _held(setting["device"])
        subject, load_s = _load(config)
        board = Board(str(torch.cuda.get_device_properties(0).uuid)) if setting["device"] == "cuda" else None
        rates = measure_rates(subject.weight_bytes(), subject.dtype, subject.device)
        warm = {cell.id: self._warm(cell, subject, rule, empty) for cell in hopeful}
        timed = {key: one for key, one in warm.items() if one is not None}
        before = warm_up_count()
        states = measure(
            [one.series for one in timed.values()], rule, subject.device, board,
            lambda share: self._report(0.3 + 0.6 * share, "sampling"),
        )  # fmt: skip
        captured_meanwhile = ["captured steps: a step was captured while sampling"] * (warm_up_count() > before)
        for one in timed.values():
            one.recompiled = one.compiles is not None and one.compiles.some()
            one.series.unmet += [*captured_meanwhile, *capture_failures()]
        self._report(0.95, "timing parts")
        decoder = _time(subject.decoding(), subject.device)
        for cell in hopeful:
            if cell.id in timed:
                one = timed[cell.id]
                one.decoder = decoder
                if cell.config["peer"] is None:
                    one.load_s, one.first_audio = load_s, _time(subject.first_audio(), subject.device)
                self._outcomes[cell.id] = measurement(cell, one, subject, rates, states)

    def _warm(self, cell: Cell, subject: Subject, rule: StopRule, empty: memory.Peak) -> Timed | None:
        """Load and warm up one system, its memory at the peak included; what goes wrong is its outcome."""
        self._report(0.1, f"warming up {cell.title}")
        device = subject.device
        try:
            memory.reset_peak(device)
            held, start = _held(device), time.perf_counter()
            generate, own_weights = _system(cell.config["peer"], subject)
            load_s = time.perf_counter() - start
            compiles = Compilations() if cell.config["setting"]["compile"] and cell.config["peer"] is None else None
            if compiles is not None:
                subject.compile()
            series = warm_up(subject.work(generate), rule, device, compiles is not None)
            if compiles is not None:
                compiles.restart()
            peak = memory.peak(device)
        except Exception as error:  # the others of the group go on, and the record says what it was
            self._outcomes[cell.id] = _explained(error)
            _free(error, device)
            return None
        others = held.less(empty) if own_weights else memory.Peak(0, 0, 0)
        return Timed(series, peak.less(others), overhead_s(device), load_s, compiles)

    def _report(self, share: float, text: str) -> None:
        self.context.report(share, f"{self.cells[0].title}: {text}")


def _load(config: dict[str, Any]) -> tuple[Subject, float]:
    start = time.perf_counter()
    subject = Subject(config)
    return subject, time.perf_counter() - start


def _system(peer: str | None, subject: Subject) -> tuple[Generate, bool]:
    """How clips are made, and whether by a copy of the model's weights."""
    if peer is None:
        return subject.model.generate, False
    made = PEERS.load(peer)(subject.model)
    return made.generate, made.own_weights


def _held(device: str) -> memory.Peak:
    """What the process holds before a system is loaded."""
    if device == "cpu":
        return memory.Peak(memory.resident())
    return memory.Peak(memory.resident(), torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device))


def _free(error: Exception, device: str) -> None:
    """Give back what a system held that ran out of memory; its traceback would keep it."""
    if type(error).__name__ == "OutOfMemoryError":
        error.__traceback__ = None
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def _time(work: Work | None, device: str) -> Series | None:
    """A part of the work by itself."""
    if work is None:
        return None
    series = warm_up(work, PARTS, device)
    measure([series], PARTS, device)
    return series


def _explained(error: Exception) -> Exception:
    """A peer that is not installed, or lacks the settings, is unsupported; all else stays what it is."""
    missing = isinstance(error, UserError) and isinstance(error.__cause__, ImportError)
    if isinstance(error, ImportError) or missing:
        return UnsupportedError(f"{error}; install it to measure this row")
    if isinstance(error, UserError | NotImplementedError):
        return UnsupportedError(str(error))
    return error
