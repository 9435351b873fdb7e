"""``bench doctor``: check what this machine can do, and what its missing parts disable."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from ...common.console import shown
from ...common.files import cache_dir
from ...common.lines import count
from .options import Json

OPTIONAL_PACKAGES = {
    "soundfile": "reading audio folders and writing audio files",
    "librosa": "the chroma features of the control metrics",
    "diffusers": "the Stable Audio VAE (representation oobleck:...)",
    "mir_eval": "the control metrics",
    "transformers": "EnCodec, T5 and CLAP adapters",
    "torchdiffeq": "the dopri5 solver of flow matching",
    "matplotlib": "figures in the report",
    "visqol-python": "ViSQOL among the reconstruction metrics",
    "submitit": "bench submit (SLURM)",
    "nvidia-ml-py": "clocks and energy of a GPU with every sample of a latency study (nvidia-smi tells less)",
}
OPTIONAL_PROGRAMS = {
    "ffmpeg": "formats that soundfile cannot read",
    "fluidsynth": "rendering the built-in music with sampled instruments",
    "sbatch": "bench submit on SLURM",
    "git": "the code revision in records",
}


def doctor(as_json: Json = False) -> None:
    """Check what this machine can do.

    Reports Python, torch, processor, GPUs, threads, number formats, disk space, optional packages and programs, and
    weights of judges, with what a missing one disables.

    \b
    Examples:
      bench doctor
      bench doctor --json
    """
    from ...common.environment import cpu_model, package_version
    from ..evaluators.judges.weights import PACKAGES

    rows = [
        ["python", "ok", platform.python_version()],
        ["processor", "ok", f"{cpu_model()}, {count(os.cpu_count() or 1, 'core')}"],
    ]
    rows += [*_torch(), _bf16(), *_disks()]
    for name, use in OPTIONAL_PACKAGES.items():
        found = package_version(name)
        rows.append([name, "ok" if found else "missing", found or f"disables {use}"])
    for name, use in OPTIONAL_PROGRAMS.items():
        path = shutil.which(name)
        rows.append([name, "ok" if path else "missing", path or f"disables {use}"])
    for name, package in PACKAGES.items():
        here = package.installed()
        missing = f"disables the judge {name}; bench evaluators install {name}"
        rows.append([name, "ok" if here else "missing", package.about if here else missing])
    print(shown(["part", "state", "detail"], rows, as_json))


def _torch() -> list[list[str]]:
    import torch

    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    gpu = ["ok", names] if torch.cuda.is_available() else ["none", "everything runs on the CPU; use preset tiny"]
    version = f"{torch.__version__}, {count(torch.get_num_threads(), 'thread')}"
    return [["torch", "ok", version], ["accelerator", *gpu]]


def _bf16() -> list[str]:
    """Multiply the same matrices in both formats: emulated bf16 is slower than fp32, native bf16 is faster."""
    import time

    import torch

    def seconds(dtype: torch.dtype) -> float:
        a = torch.randn(512, 512).to(dtype)
        a @ a
        start = time.perf_counter()
        for _ in range(3):
            a @ a
        return time.perf_counter() - start

    ratio = seconds(torch.bfloat16) / seconds(torch.float32)
    advice = "use fp32 on this CPU" if ratio > 0.8 else "bf16 pays on this CPU"
    return ["bf16", "ok", f"a matrix product takes {ratio:.1f} times as long as in fp32: {advice}"]


def _disks() -> list[list[str]]:
    rows = []
    for name, folder in (("disk here", Path.cwd()), ("cache", cache_dir())):
        existing = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(existing).free / 2**30
        good = os.access(existing, os.W_OK) and free > 2
        advice = "" if good else "; needs a writable folder with 2 GiB"
        rows.append([name, "ok" if good else "problem", f"{folder}, {free:.0f} GiB free{advice}"])
    return rows
