"""Memory: the peak of this process, the peak of the accelerator's allocator, and what the machine has.

The kernel keeps the largest resident size of a process (``VmHWM``) and forgets it on request (``clear_refs`` 5), so
that the peak of one stretch of work can be measured.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Peak:
    """Peaks in bytes; None: unknown.

    Attributes:
        process: resident size of the process.
        allocated, reserved: what the accelerator's allocator handed out, and what it held.
    """

    process: int | None
    allocated: int | None = None
    reserved: int | None = None

    def less(self, other: Peak) -> Peak:
        """This peak minus ``other``."""
        return Peak(*(None if a is None else a - (b or 0) for a, b in zip(astuple(self), astuple(other))))


def reset_peak(device: str = "cpu") -> None:
    """Forget earlier peaks."""
    with suppress(OSError):  # without /proc the peak is that of the whole life of the process
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: str = "cpu") -> Peak:
    """The peaks since ``reset_peak``."""
    if not device.startswith("cuda"):
        return Peak(_kilobytes("VmHWM"))
    import torch

    return Peak(_kilobytes("VmHWM"), torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device))


def resident() -> int | None:
    """Bytes that the process holds now."""
    return _kilobytes("VmRSS")


def total_memory(device: str = "cpu") -> int | None:
    """Bytes of memory of the machine, or of the accelerator."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.get_device_properties(device).total_memory)
    return _kilobytes("MemTotal", Path("/proc/meminfo"))


def _kilobytes(name: str, path: Path = STATUS) -> int | None:
    """The value, in bytes, of a line such as ``VmHWM:   123 kB``."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError):
        return None
