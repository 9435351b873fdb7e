"""The state of GPU and CPU while something is timed: clocks, temperature, power, throttling, load by others.

The GPU is read through ``nvidia-ml-py`` (module pynvml) if it is installed, which takes microseconds, else through
``nvidia-smi``, which takes a tenth of a second and is therefore called less often. Without either its state is unknown.
The kernel counts busy and idle ticks of all CPU cores; what this process did not use itself, others did. Time that a
hypervisor took away ("steal") counts as used by others too.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
SLOW_CLOCK = 0.75  # samples taken below this share of the default clock are thrown away, as in NVBench
# Bits of nvmlClocksEventReasons (NVML API reference), without the two that mean an idle GPU or clocks set by the user.
REASONS = {
    0x04: "power cap", 0x08: "hardware slowdown", 0x10: "sync boost", 0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown", 0x80: "hardware power brake", 0x100: "display clocks",
}  # fmt: skip


@dataclass(frozen=True)
class GpuState:
    """One reading of a GPU; None where it does not report a value."""

    clock_mhz: float | None = None
    default_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttle_reasons: tuple[str, ...] = ()

    @property
    def clock_share(self) -> float | None:
        """The clock over the default clock."""
        if self.clock_mhz is None or not self.default_clock_mhz:
            return None
        return self.clock_mhz / self.default_clock_mhz

    def as_json(self) -> dict[str, Any]:
        """Plain data for a record."""
        return asdict(self) | {"throttle_reasons": list(self.throttle_reasons)}


class GpuMonitor:
    """Reads the state of one CUDA device, found by its UUID, because driver and CUDA may number devices differently."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        self._nvml, self._handle = _nvml_handle(self.uuid)

    @property
    def quick(self) -> bool:
        """Whether a reading takes microseconds, so that it can be done for every sample."""
        return self._nvml is not None

    def state(self) -> GpuState:
        """The state now."""
        return self._by_nvml() if self._nvml is not None else self._by_smi()

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; None if the GPU does not count them or the query would be slow."""
        return (
            _maybe(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000) if self.quick else None
        )

    def _by_nvml(self) -> GpuState:
        n, gpu = self._nvml, self._handle
        reasons = _maybe(lambda: n.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)) or 0
        milliwatts = _maybe(lambda: n.nvmlDeviceGetPowerUsage(gpu))
        default = _maybe(lambda: n.nvmlDeviceGetDefaultApplicationsClock(gpu, n.NVML_CLOCK_SM))
        return GpuState(
            clock_mhz=_maybe(lambda: n.nvmlDeviceGetClockInfo(gpu, n.NVML_CLOCK_SM)),
            default_clock_mhz=default or _maybe(lambda: n.nvmlDeviceGetMaxClockInfo(gpu, n.NVML_CLOCK_SM)),
            memory_clock_mhz=_maybe(lambda: n.nvmlDeviceGetClockInfo(gpu, n.NVML_CLOCK_MEM)),
            temperature_c=_maybe(lambda: n.nvmlDeviceGetTemperature(gpu, n.NVML_TEMPERATURE_GPU)),
            power_w=None if milliwatts is None else milliwatts / 1000,
            throttle_reasons=tuple(name for bit, name in REASONS.items() if int(reasons) & bit),
        )

    def _by_smi(self) -> GpuState:
        fields = (
            "clocks.sm", "clocks.default_applications.graphics", "clocks.max.sm", "clocks.mem", "temperature.gpu",
            "power.draw", "clocks_throttle_reasons.active",
        )  # fmt: skip
        line = _smi(self.uuid, fields)
        if len(line) != len(fields):
            return GpuState()
        clock, default, highest, memory, temperature, power = (_number(text) for text in line[:-1])
        with suppress(ValueError):
            bits = int(line[-1], 16)
            reasons = tuple(name for bit, name in REASONS.items() if bits & bit)
            return GpuState(clock, default or highest, memory, temperature, power, reasons)
        return GpuState(clock, default or highest, memory, temperature, power)


def _nvml_handle(uuid: str) -> tuple[Any, Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except Exception:  # not installed, no driver, an old driver: each raises another error, and smi may still work
        return None, None


def _smi(uuid: str, fields: tuple[str, ...]) -> list[str]:
    command = ["nvidia-smi", f"--id={uuid}", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [text.strip() for text in done.stdout.strip().split(",")] if done.returncode == 0 else []


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # "[N/A]"


def _maybe(query: Callable[[], Any]) -> Any:
    """The result of ``query``; None if this GPU or driver does not support it."""
    try:
        return query()
    except Exception:  # NVMLError_NotSupported and others like it
        return None


@dataclass(frozen=True)
class CpuTime:
    """Seconds so far: busy seconds of all cores together, CPU seconds of this process, and the wall clock."""

    busy: float
    own: float
    wall: float


def cpu_time() -> CpuTime | None:
    """The counters now; None if the system has none."""
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
    """Share of all cores that other processes used between two readings, 0 to 1; None if it is not known."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, others / ((after.wall - before.wall) * (os.cpu_count() or 1))))


def frequency_mhz() -> float | None:
    """Mean frequency of the cores now, in MHz; None if the system does not report it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        values = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return None
    return sum(values) / len(values) if values else None
