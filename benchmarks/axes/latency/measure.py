"""One model and its baselines, timed in turns: loading, first call, warm-up, sampling, and memory."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Sequence

import torch

from ....common import memory
from ....common.device_rates import measure_rates
from ....common.errors import UserError
from ....common.precision import float32_products
from ....paradigms.session import capture_failures, warm_up_count
from ...study.axis import Context, Measurement, UnsupportedError
from ...study.cells import Cell
from .baselines import BASELINES
from .cells import LatencyConfig
from .estimate import hopeless
from .metrics import Timed, measurement
from .model import Generate, Subject
from .tracker.monitor import GpuMonitor
from .tracker.sampling import Compilations, Series, Work, measure, overhead_s, warm_up
from .tracker.statistics import PARTS, StopRule


class LatencyGroup:
    """Times all its cells at the first request, because they take turns; then returns the measurement of each."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        self.cells, self.context = cells, context
        self.config = cells[0].read(LatencyConfig)  # of the model, which its baselines share
        self._outcomes: dict[str, Measurement | Exception] = {}
        if self.config.setting.compile:
            # With a warm cache the time to compile would be that of reading the cache.
            self._cold = tempfile.TemporaryDirectory(prefix="inductor-")
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = self._cold.name

    def measure(self, cell: Cell) -> Measurement:
        """The measurement of a cell; raises what its system raised."""
        if cell.id not in self._outcomes:
            try:
                with float32_products(self.config.setting.dtype, self.config.setting.device):
                    self._measure_all()
            except Exception as error:  # loading the model or a round of samples failed, which concerns all cells
                for each in self.cells:
                    self._outcomes.setdefault(each.id, error)
        outcome = self._outcomes[cell.id]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _measure_all(self) -> None:
        setting, rule = self.config.setting, self.config.protocol
        torch.set_num_threads(setting.threads)
        self._outcomes = {
            cell.id: bad for cell in self.cells if (bad := hopeless(cell.read(LatencyConfig))) is not None
        }
        hopeful = [cell for cell in self.cells if cell.id not in self._outcomes]
        if not hopeful:
            return
        self._report(0.0, "loading")
        empty = _memory_used(setting.device)
        start = time.perf_counter()
        subject = Subject(self.config)
        load_s = time.perf_counter() - start
        monitor = GpuMonitor(str(torch.cuda.get_device_properties(0).uuid)) if setting.device == "cuda" else None
        rates = measure_rates(subject.weight_bytes(), subject.dtype, subject.device)
        warm = {cell.id: self._warm(cell, subject, rule, empty) for cell in hopeful}
        timed = {key: one for key, one in warm.items() if one is not None}
        before = warm_up_count()
        states = measure(
            [one.series for one in timed.values()], rule, subject.device, monitor,
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
                if cell.read(LatencyConfig).peer is None:
                    one.load_s, one.first_audio = load_s, _time(subject.first_audio(), subject.device)
                self._outcomes[cell.id] = measurement(one, subject, rates, states)

    def _warm(self, cell: Cell, subject: Subject, rule: StopRule, empty: memory.Peak) -> Timed | None:
        """Load one system, warm it up and measure its peak of memory; None if that fails, which is its outcome."""
        self._report(0.1, f"warming up {cell.title}")
        device, baseline = subject.device, cell.read(LatencyConfig).peer
        try:
            memory.reset_peak(device)
            used, start = _memory_used(device), time.perf_counter()
            generate, own_weights = _system(baseline, subject)
            load_s = time.perf_counter() - start
            compiles = Compilations() if self.config.setting.compile and baseline is None else None
            if compiles is not None:
                subject.compile()
            series = warm_up(subject.work(generate), rule, device, compiles is not None)
            if compiles is not None:
                compiles.restart()
            peak = memory.peak(device)
        except Exception as error:  # the other systems of the group go on, and the record of this one has the error
            self._outcomes[cell.id] = _explained(error)
            _free(error, device)
            return None
        others = used.less(empty) if own_weights else memory.Peak(0, 0, 0)
        return Timed(series, peak.less(others), overhead_s(device), load_s, compiles)

    def _report(self, share: float, text: str) -> None:
        self.context.report(share, f"{self.cells[0].title}: {text}")


def _system(baseline: str | None, subject: Subject) -> tuple[Generate, bool]:
    """The function that generates clips, and whether it uses a copy of the model's weights."""
    if baseline is None:
        return subject.model.generate, False
    made = BASELINES.load(baseline)(subject.model)
    return made.generate, made.own_weights


def _memory_used(device: str) -> memory.Peak:
    if device == "cpu":
        return memory.Peak(memory.resident())
    return memory.Peak(memory.resident(), torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device))


def _free(error: Exception, device: str) -> None:
    """Free the memory of a system that ran out of it; the traceback of the error would keep it."""
    if type(error).__name__ == "OutOfMemoryError":
        error.__traceback__ = None
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def _time(work: Work | None, device: str) -> Series | None:
    if work is None:
        return None
    series = warm_up(work, PARTS, device)
    measure([series], PARTS, device)
    return series


def _explained(error: Exception) -> Exception:
    """``UnsupportedError`` for a baseline that is not installed or lacks the settings; other errors as they are."""
    missing = isinstance(error, UserError) and isinstance(error.__cause__, ImportError)
    if isinstance(error, ImportError) or missing:
        return UnsupportedError(f"{error}; install it to measure this row")
    if isinstance(error, UserError | NotImplementedError):
        return UnsupportedError(str(error))
    return error
