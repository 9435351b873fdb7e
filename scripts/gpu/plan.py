"""Estimates how long a latency cell takes: from the bound of its cost model, and from the cells measured before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paradigm_bench.benchmarks.analysis.records import Record
    from paradigm_bench.benchmarks.study.cells import Cell

RATES = {"H100": (798e12, 3.0e12), "H200": (790e12, 4.3e12), "A100": (250e12, 1.6e12), "cpu": (5e10, 1e10)}
"""Operations and bytes per second by device. H100 and H200: measured in bf16. A100: four fifths of the datasheet."""
SHARES = {"ar": 0.4, "fm-50": 0.6, "mar": 0.4, "mntp": 0.2}
"""Share of its bound that each arm reaches. These guesses are replaced when a cell of the arm is measured."""
START_S = 15.0
"""Seconds that a worker needs beside its runs: 8 s for Python, torch and a CUDA context, 5 s for 400 million random
weights, 2 s to measure the rates of the device. This guess is replaced when a cell is measured."""
FIRST_AUDIO_RUNS = 12
"""Runs that time the first second of audio (``benchmarks.axes.latency.measure.PARTS``)."""


@dataclass
class Planner:
    """Estimates that improve with every measured cell.

    Attributes:
        device: name of the device.
        start_s: seconds that a worker needs beside its runs.
        shares: arm -> share of the bound that it reaches.
    """

    device: str
    start_s: float = START_S
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))

    def seconds(self, cell: Cell) -> float:
        """Estimated time to measure ``cell``."""
        run_s = self.bound(cell) / self.shares[cell.system]
        return self.start_s + runs(cell.config["protocol"], run_s) * run_s + first_audio(cell, run_s)

    def bound(self, cell: Cell) -> float:
        """Lower bound of the time of one run."""
        import torch

        from paradigm_bench.backbones.cost import bound_seconds
        from paradigm_bench.benchmarks.axes.latency.cells import LatencyConfig
        from paradigm_bench.benchmarks.axes.latency.model import DTYPES, build

        config = cell.read(LatencyConfig)
        with torch.device("meta"):
            model = build(config)
        setting, sampler = config.setting, model.sampler(config.sampler)
        size = DTYPES[setting.dtype].itemsize
        phases = model.cost(setting.batch, setting.frames, sampler, setting.text_tokens, size)
        rates = next((rates for name, rates in RATES.items() if name in self.device), RATES["H100"])
        return bound_seconds(phases, *rates)

    def learn(self, cell: Cell, record: Record, taken_s: float) -> None:
        """Correct the estimates by a measured cell."""
        share, latency = (record.metrics[name].value for name in ("bound_ratio", "latency_s"))
        if share and latency:
            self.shares[cell.system] = share
            in_runs = sum(record.timing[name] for name in ("first_call_s", "warm_up_s", "sampling_s"))
            self.start_s = max(1.0, taken_s - in_runs - first_audio(cell, latency))


def first_audio(cell: Cell, run_s: float) -> float:
    """Time to measure the first second of audio; 0 if the paradigm does not stream."""
    from paradigm_bench import paradigms

    setting = cell.config["setting"]
    if not paradigms.find(cell.config["model"]["paradigm"]).streams:
        return 0.0
    return max(1.0, FIRST_AUDIO_RUNS * run_s * min(1.0, setting["first_audio_seconds"] / setting["seconds"]))


def runs(rule: dict[str, Any], run_s: float) -> int:
    """Number of runs of a cell: the first call, a run that captures, a run that captures nothing, and the samples.

    Args:
        rule: the stop rule (``benchmarks.axes.latency.tracker.statistics.StopRule``).
    """
    wanted = max(rule["samples"], math.ceil(rule["seconds"] / run_s))
    samples = max(1, min(wanted, rule["cap_samples"], math.ceil(rule["cap_seconds"] / run_s)))
    return 1 + max(2, rule["warm_ups"]) + samples
