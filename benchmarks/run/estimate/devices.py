"""Speed of a device in training and sampling: by its data sheet, by this machine's records, or by a file.

No program reaches the peak of a data sheet. Training is planned at a share of it, the model-FLOPs utilisation (MFU;
Chowdhery et al. 2022 report 46% for PaLM). Sampling is planned at the bound of ``backbones.cost`` over the share of
that bound which latency records reached. Measured values, from a file or from this machine's records, replace both.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ....common.config import from_dict
from ....common.device_rates import measure_rates
from ....common.environment import cpu_model
from ....common.errors import UserError, did_you_mean
from ....common.files import read_json
from ....common.memory import total_memory
from ...analysis.packs import record_path
from ...analysis.records import Record, read_record
from .timings import TimedConfig, bound_shares

MFU = 0.4
SAMPLING_SHARE = 0.5  # of the bound, for a paradigm without a latency record
WORKING_SET = 64 << 20  # bytes, larger than the caches of a CPU


@dataclass(frozen=True)
class Device:
    """An accelerator, or one worker of this machine.

    Attributes:
        bf16_flops_per_s, fp32_flops_per_s: rate of dense matrix products, without sparsity and without TF32.
        copy_bytes_per_s: bandwidth of its memory.
        memory_bytes: None where it is not known.
        source: where the figures are from.
        mfu: share of the peak that training reaches.
        trains_at: paradigm -> operations per second that training reached; ``mfu`` stands in for those not in it.
        samples_at: paradigm -> share of the bound that sampling reached.
    """

    name: str
    bf16_flops_per_s: float
    fp32_flops_per_s: float
    copy_bytes_per_s: float
    memory_bytes: float | None = None
    source: str = ""
    mfu: float = MFU
    trains_at: Mapping[str, float] = field(default_factory=dict)
    samples_at: Mapping[str, float] = field(default_factory=dict)

    def peak(self, precision: str) -> float:
        """Operations per second in ``fp32`` or ``bf16``."""
        return self.bf16_flops_per_s if precision == "bf16" else self.fp32_flops_per_s

    def training_rate(self, paradigm: str, precision: str) -> float:
        """Operations per second in training: measured, or the utilisation of the peak."""
        return self.trains_at.get(paradigm, self.mfu * self.peak(precision))

    def sampling_share(self, paradigm: str) -> float:
        """Share of the bound in sampling: measured, or assumed."""
        return self.samples_at.get(paradigm, SAMPLING_SHARE)


DATA_SHEETS = {
    "a100": Device("A100 SXM 80 GB", 312e12, 19.5e12, 2039e9, 80e9, "NVIDIA A100 datasheet"),
    "h100": Device("H100 SXM 80 GB", 989.4e12, 66.9e12, 3350e9, 80e9, "NVIDIA H100 datasheet"),
    "h200": Device("H200 SXM 141 GB", 989.4e12, 66.9e12, 4800e9, 141e9, "NVIDIA H200 datasheet"),
}


def by_data_sheet(name: str) -> Device:
    """The device called ``name``, by its data sheet.

    Raises:
        UserError: an unknown device.
    """
    if name not in DATA_SHEETS:
        known = [*DATA_SHEETS, "measured"]
        hint = did_you_mean(name, known)
        raise UserError(f"--device {name!r}{hint}; known: {', '.join(known)}, or give --rates FILE")
    return DATA_SHEETS[name]


def from_file(path: Path) -> Device:
    """The device of a JSON file: the fields of ``Device``, a latency record, or a record with training in it.

    Raises:
        UserError: none of these.
    """
    if not path.is_file():
        return _from_record(read_record(record_path(path)), path)
    data = read_json(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping; give the fields of a device, or a record")
    if "schema_version" not in data:
        return from_dict(Device, data, str(path))
    return _from_record(from_dict(Record, data, str(path)), path)


def _from_record(record: Record, path: Path) -> Device:
    cell, training = record.read(TimedConfig), record.training
    paradigm = cell.model.paradigm if cell.model is not None else record.system
    rates = record.environment.get("speed", {}).get("rates")
    if rates is not None:
        flops, reached = rates["flops_per_s"], record.metrics.get("bound_ratio")
        return Device(
            cell.setting["hardware"], flops, flops, rates["copy_bytes_per_s"],
            source=f"{path.name}, in {cell.setting['dtype']}",
            samples_at={paradigm: reached.value} if reached is not None and reached.value is not None else {},
        )  # fmt: skip
    if training is not None and training.flops and training.wall_seconds:
        rate = training.flops / training.wall_seconds
        where = str(record.environment.get("cpu" if record.environment.get("device") == "cpu" else "device"))
        peak = rate / MFU
        return Device(where, peak, peak, peak, source=f"training in {path.name}", trains_at={paradigm: rate})
    raise UserError(f"{path}: this record holds neither rates nor training; give one of axis latency or fidelity")


def sampling_shares(records: Iterable[Record], width: int) -> dict[str, float]:
    """Paradigm -> the median share of the bound that latency records of this backbone width reached."""

    def paradigm(record: Record, cell: TimedConfig) -> str | None:
        ours = record.kind == "paradigm" and cell.model is not None and cell.model.backbone.d_model == width
        return cell.model.paradigm if ours and cell.model is not None else None

    return bound_shares(records, paradigm)


def measured(shares: Mapping[str, float], trains_at: Mapping[str, float], threads: int = 1) -> Device:
    """This machine, or a worker of ``threads`` CPU threads: rates measured now, and what its records reached.

    A paradigm without a record trains at the median rate of those that have one.
    """
    on_gpu, held = torch.cuda.is_available(), torch.get_num_threads()
    where = "cuda" if on_gpu else "cpu"
    torch.set_num_threads(held if on_gpu else threads)
    try:
        fp32 = measure_rates(WORKING_SET, torch.float32, where)
        bf16 = measure_rates(WORKING_SET, torch.bfloat16, where) if on_gpu else fp32
    finally:
        torch.set_num_threads(held)
    typical = statistics.median(trains_at.values()) / fp32.flops_per_s if trains_at else MFU
    name = torch.cuda.get_device_name() if on_gpu else f"{cpu_model()}, {threads} thread(s)"
    return Device(
        name, bf16.flops_per_s, fp32.flops_per_s, fp32.copy_bytes_per_s, total_memory(where), "measured here just now",
        typical, trains_at, shares,
    )  # fmt: skip
