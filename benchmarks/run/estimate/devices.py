"""How fast a device trains and samples: by its maker's figures, by this machine's records, or by a file.

A maker's peak is never reached; training is planned at a share of it, the model-FLOPs utilisation (MFU; Chowdhery et
al. 2022 report 46% for PaLM). Sampling is planned at the bound of ``backbones.cost`` over the share of that bound which
latency records reached. What a file or this machine's records measured replaces both where it can.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ....common.config import from_dict
from ....common.errors import UserError, did_you_mean
from ....common.files import read_json
from ...analysis.packs import record_path
from ...analysis.records import Record, read_record

MFU = 0.4
SAMPLING_SHARE = 0.5  # of the bound, for a paradigm without a latency record


@dataclass(frozen=True)
class Device:
    """Rates of one accelerator, or of one worker of this machine.

    Attributes:
        bf16_flops_per_s, fp32_flops_per_s: dense matrix products, without sparsity and without TF32.
        copy_bytes_per_s: of its memory.
        memory_bytes: None where it is not known.
        source: where the figures are from.
        trains_at: paradigm -> operations per second that training reached; where it is silent, ``mfu`` counts.
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


PUBLISHED = {
    "a100": Device("A100 SXM 80 GB", 312e12, 19.5e12, 2039e9, 80e9, "NVIDIA A100 datasheet"),
    "h100": Device("H100 SXM 80 GB", 989.4e12, 66.9e12, 3350e9, 80e9, "NVIDIA H100 datasheet"),
    "h200": Device("H200 SXM 141 GB", 989.4e12, 66.9e12, 4800e9, 141e9, "NVIDIA H200 datasheet"),
}


def published(name: str) -> Device:
    """A device by its maker's figures.

    Raises:
        UserError: an unknown device.
    """
    if name not in PUBLISHED:
        known = [*PUBLISHED, "measured"]
        hint = did_you_mean(name, known)
        raise UserError(f"--device {name!r}{hint}; known: {', '.join(known)}, or give --rates FILE")
    return PUBLISHED[name]


def from_file(path: Path) -> Device:
    """A device as a JSON file has it: the fields of ``Device``, a latency record, or a record with training in it.

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
    rates, training = record.environment.get("speed", {}).get("rates"), record.training
    named = record.cell.get("model", {}).get("paradigm", record.system)
    if rates is not None:
        flops, setting = rates["flops_per_s"], record.cell["setting"]
        share = record.metrics["bound_ratio"].value if "bound_ratio" in record.metrics else None
        return Device(
            setting["hardware"], flops, flops, rates["copy_bytes_per_s"], source=f"{path.name}, in {setting['dtype']}",
            samples_at={} if share is None else {named: share},
        )  # fmt: skip
    if training is not None and training.flops and training.wall_seconds:
        reached = training.flops / training.wall_seconds
        where = str(record.environment.get("cpu" if record.environment.get("device") == "cpu" else "device"))
        peak = reached / MFU
        return Device(where, peak, peak, peak, source=f"training in {path.name}", trains_at={named: reached})
    raise UserError(f"{path}: this record holds neither rates nor training; give one of axis latency or fidelity")


def sampling_shares(records: Iterable[Record], width: int) -> dict[str, float]:
    """Paradigm -> the median share of the bound that latency records of this model width, peers apart, reached."""
    found: dict[str, list[float]] = {}
    for record in records:
        reached = record.metrics.get("bound_ratio")
        if record.axis != "latency" or record.kind != "paradigm" or reached is None or not reached.value:
            continue
        if record.cell["model"]["backbone"]["d_model"] == width:
            found.setdefault(record.cell["model"]["paradigm"], []).append(reached.value)
    return {name: statistics.median(values) for name, values in found.items()}


def measured(shares: Mapping[str, float], trains_at: Mapping[str, float], threads: int = 1) -> Device:
    """This machine, a worker of ``threads`` CPU threads: rates measured now, and what its records reached.

    A paradigm without a record trains at the median rate of those that have one.
    """
    import torch

    from ....common.environment import cpu_model
    from ...axes.latency.tracker.memory import total_memory
    from ...axes.latency.tracker.rates import measure_rates

    on_gpu, held = torch.cuda.is_available(), torch.get_num_threads()
    where = "cuda" if on_gpu else "cpu"
    torch.set_num_threads(held if on_gpu else threads)
    try:
        fp32 = measure_rates(64 << 20, torch.float32, where)
        bf16 = measure_rates(64 << 20, torch.bfloat16, where) if on_gpu else fp32
    finally:
        torch.set_num_threads(held)
    typical = statistics.median(trains_at.values()) / fp32.flops_per_s if trains_at else MFU
    name = torch.cuda.get_device_name() if on_gpu else f"{cpu_model()}, {threads} thread(s)"
    return Device(
        name, bf16.flops_per_s, fp32.flops_per_s, fp32.copy_bytes_per_s, total_memory(where), "measured here just now",
        typical, trains_at, shares,
    )  # fmt: skip
