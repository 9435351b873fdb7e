"""What the CPU does meanwhile: its frequency, and the share of the machine that other processes use.

The kernel counts busy and idle ticks of all cores; what this process did not use itself, others did. Time that a
hypervisor took away ("steal") counts as used by others too.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class CpuTime:
    """Seconds so far: busy seconds of all cores together, own CPU seconds, and the wall clock."""

    busy: float
    own: float
    wall: float


def cpu_time() -> CpuTime | None:
    """The counters now; None where the system has none."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    except (OSError, IndexError):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields)
    own = os.times()
    return CpuTime(
        (user + nice + system + irq + softirq + steal) / TICKS, own.user + own.system, time.perf_counter()
    )  # fmt: skip


def others_share(before: CpuTime | None, after: CpuTime | None) -> float | None:
    """Share of all cores that other processes used in between, 0 to 1; None where it is not known."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, others / ((after.wall - before.wall) * (os.cpu_count() or 1))))


def frequency_mhz() -> float | None:
    """Mean frequency of the cores now; None where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        values = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return None
    return sum(values) / len(values) if values else None
