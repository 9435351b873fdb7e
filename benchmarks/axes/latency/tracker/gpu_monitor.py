"""What the GPU board does meanwhile: clock, temperature, power, energy, and why it runs slower than it could.

Read through ``nvidia-ml-py`` (module pynvml) where it is installed, which takes microseconds, else from ``nvidia-smi``,
which takes a tenth of a second and is therefore asked less often. Without either there is nothing to tell.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

SLOW_CLOCK = 0.75  # samples below this share of the default clock are thrown away (NVBench)
# Bits of nvmlClocksEventReasons (NVML API reference); the two that only say "nothing to do" or "as set" are left out.
REASONS = {
    0x04: "power cap", 0x08: "hardware slowdown", 0x10: "sync boost", 0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown", 0x80: "hardware power brake", 0x100: "display clocks",
}  # fmt: skip


@dataclass(frozen=True)
class BoardState:
    """One reading; None where the board does not tell."""

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


class Board:
    """The board of one CUDA device, found by its UUID, since the driver may number boards otherwise than CUDA."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        self._nvml, self._handle = _nvml_handle(self.uuid)

    @property
    def quick(self) -> bool:
        """Whether a reading takes microseconds, so that every sample can have one."""
        return self._nvml is not None

    def state(self) -> BoardState:
        """A reading."""
        return self._by_nvml() if self._nvml is not None else self._by_smi()

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; None where the board does not count or the query would be slow."""
        return (
            _maybe(lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000) if self.quick else None
        )

    def _by_nvml(self) -> BoardState:
        n, board = self._nvml, self._handle
        reasons = _maybe(lambda: n.nvmlDeviceGetCurrentClocksThrottleReasons(board)) or 0
        milliwatts = _maybe(lambda: n.nvmlDeviceGetPowerUsage(board))
        default = _maybe(lambda: n.nvmlDeviceGetDefaultApplicationsClock(board, n.NVML_CLOCK_SM))
        return BoardState(
            clock_mhz=_maybe(lambda: n.nvmlDeviceGetClockInfo(board, n.NVML_CLOCK_SM)),
            default_clock_mhz=default or _maybe(lambda: n.nvmlDeviceGetMaxClockInfo(board, n.NVML_CLOCK_SM)),
            memory_clock_mhz=_maybe(lambda: n.nvmlDeviceGetClockInfo(board, n.NVML_CLOCK_MEM)),
            temperature_c=_maybe(lambda: n.nvmlDeviceGetTemperature(board, n.NVML_TEMPERATURE_GPU)),
            power_w=None if milliwatts is None else milliwatts / 1000,
            throttle_reasons=tuple(name for bit, name in REASONS.items() if int(reasons) & bit),
        )

    def _by_smi(self) -> BoardState:
        fields = (
            "clocks.sm", "clocks.default_applications.graphics", "clocks.max.sm", "clocks.mem", "temperature.gpu",
            "power.draw", "clocks_throttle_reasons.active",
        )  # fmt: skip
        line = _smi(self.uuid, fields)
        if len(line) != len(fields):
            return BoardState()
        clock, default, highest, memory, temperature, power = (_number(text) for text in line[:-1])
        with suppress(ValueError):
            bits = int(line[-1], 16)
            reasons = tuple(name for bit, name in REASONS.items() if bits & bit)
            return BoardState(clock, default or highest, memory, temperature, power, reasons)
        return BoardState(clock, default or highest, memory, temperature, power)


def _nvml_handle(uuid: str) -> tuple[Any, Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except Exception:  # not installed, no driver, an old driver: each has an error of its own, and smi may still work
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


def _maybe(query: Any) -> Any:
    """What ``query`` says, None where this board or driver does not support it."""
    try:
        return query()
    except Exception:  # NVMLError_NotSupported and its many siblings
        return None
