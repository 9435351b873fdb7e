"""The GPUs that workers may use. Each worker is given one of them through ``CUDA_VISIBLE_DEVICES``.

torch is imported inside functions, so that commands that need no GPU start fast.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .errors import UserError, did_you_mean
from .lines import say

VARIABLE = "CUDA_VISIBLE_DEVICES"
DEVICES = ["auto", "cpu", "cuda"]


def visible() -> list[str]:
    """The GPUs visible to this process, as ``CUDA_VISIBLE_DEVICES`` names them; empty without a GPU.

    Where the variable is set, its first entries are returned, as many as torch finds GPUs: in a container or a batch
    job it may name GPUs that are not there.
    """
    listed = os.environ.get(VARIABLE)
    entries = None if listed is None else _entries(listed)
    if entries == []:
        return []
    count = present()
    return [str(index) for index in range(count)] if entries is None else entries[:count]


def present() -> int:
    """Number of GPUs that torch finds among those in ``CUDA_VISIBLE_DEVICES``; creates no CUDA context."""
    import torch

    return torch.cuda.device_count()


def _entries(listed: str) -> list[str]:
    """The GPUs in a value of the variable, by CUDA's rules.

    An entry that names no GPU, such as ``-1`` or ``NoDevFiles``, ends the list. A repeated entry hides all GPUs.
    """
    entries: list[str] = []
    for entry in map(str.strip, listed.split(",")):
        if entry in entries:
            return []
        if not (entry.isdecimal() or entry.startswith(("GPU-", "MIG-"))):
            break
        entries.append(entry)
    return entries


def workers(jobs: int, cpu_jobs: int, groups: int, gpus: Sequence[str]) -> int:
    """How many workers run at a time.

    Without a GPU: ``jobs``, or ``cpu_jobs`` if ``jobs`` is 0. With GPUs: ``jobs``, or one per GPU if it is 0, but no
    more than the number of GPUs or of ``groups``. Prints a note if there are fewer GPUs than ``jobs``.
    """
    if not gpus:
        return max(1, jobs or cpu_jobs)
    if jobs > len(gpus):
        count = len(gpus)
        are, run = ("GPU is", "worker runs") if count == 1 else ("GPUs are", "workers run")
        say(f"--jobs {jobs}: {count} {are} visible, so {count} {run} at a time, one per GPU")
    return max(1, min(jobs or len(gpus), len(gpus), groups))


def check_device(name: str) -> None:
    """Check the value of ``--device``.

    Raises:
        UserError: it is none of ``DEVICES``.
    """
    if name not in DEVICES:
        meant = "cuda" if name.lower() == "gpu" else name.lower()  # by its letters, gpu is nearer to cpu
        raise UserError(f"--device {name!r} is not one of {', '.join(DEVICES)}{did_you_mean(meant, DEVICES)}")


def device_type() -> str:
    """Type of the device that models are trained and sampled on: ``cuda`` if torch finds a GPU, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def require_gpu(setting: str) -> None:
    """Check that torch finds a GPU.

    Args:
        setting: what requires a GPU, for the message.

    Raises:
        UserError: there is none.
    """
    if device_type() != "cuda":
        raise UserError(f"{setting}: torch finds no GPU here; give --device cpu, or see `bench doctor`")


def use_device(name: str) -> None:
    """Apply ``--device`` to this process and the workers it starts; call it before CUDA is used.

    ``cpu`` hides all GPUs, ``auto`` changes nothing.

    Raises:
        UserError: the device is ``cuda`` and torch finds no GPU.
    """
    if name == "cpu":
        os.environ[VARIABLE] = ""
    elif name == "cuda":
        require_gpu("--device cuda")
