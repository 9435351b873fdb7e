"""Made-up records of latency that follow the axis' contract: times are the bound over a chosen share of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from paradigm_bench.benchmarks.analysis.records import Record, save_record
from paradigm_bench.benchmarks.metrics.metric import Metric, metric
from paradigm_bench.common.config import config_hash

FLOPS, BANDWIDTH = 8e14, 4e12  # the made-up device's rates
WEIGHTS = 8e8  # bytes, and operations per token
SAMPLERS: dict[str, dict[str, Any]] = {
    "ar": {"temperature": 1.0, "top_k": 250, "guidance": 3.0},
    "fm": {"solver": "euler", "steps": 50, "guidance": 3.0},
    "mar": {"iterations": 16, "diffusion_steps": 100, "guidance": 3.0},
    "mntp": {"diffusion_steps": 100, "guidance": 3.0},
}
SHARES = {"ar": 0.5, "fm": 0.7, "mar": 0.4, "mntp": 0.3}


def a_cell(arm: str, peer: str | None = None, sampler: dict[str, Any] | None = None, **setting: Any) -> dict[str, Any]:
    """A cell of the latency axis; ``setting`` replaces defaults (``layers``, ``d_model``, ``paradigm`` too)."""
    paradigm = setting.pop("paradigm", arm)
    options = setting.pop("options", {})
    backbone = {"d_model": setting.pop("d_model", 1024), "n_layers": setting.pop("layers", 24), "text": "cross"}
    rate, other_latent = setting.pop("frame_rate", 50.0), setting.pop("latent", {})
    backbone |= setting.pop("backbone", {})
    protocol, version = setting.pop("protocol", {}), setting.pop("version", 1)
    given = {
        "batch": 1, "seconds": 10.0, "text_tokens": 64, "device": "cuda", "hardware": "NVIDIA H200", "threads": 1,
        "dtype": "bf16", "decoder": "none", "compile": False, "first_audio_seconds": 0.5, **setting,
    }  # fmt: skip
    given["frames"] = int(given["seconds"] * rate)
    latent = {"name": "encodec", "sample_rate": 32000, "frame_rate_hz": rate, "dim": 128, "codebooks": 4}
    return {
        "axis": "latency", "version": version,
        "model": {"paradigm": paradigm, "options": options, "backbone": backbone},
        "latent": {**latent, "cardinality": 2048, **other_latent},
        "sampler": SAMPLERS[paradigm] | (sampler or {}), "setting": given, "peer": peer, "protocol": protocol,
        "seed": 0,
    }  # fmt: skip


def cost(cell: dict[str, Any]) -> tuple[int, float, float]:
    """Steps, and operations and bytes of one: every step reads the weights."""
    setting, sampler, depth = cell["setting"], cell["sampler"], cell["model"]["backbone"]["n_layers"] / 24
    tokens = {"ar": 1, "mntp": 1}.get(cell["model"]["paradigm"], setting["frames"])
    steps = sampler.get("steps") or sampler.get("iterations", 1) * sampler.get("diffusion_steps", 5) // 5
    steps = setting["frames"] if tokens == 1 else steps
    return steps, 2 * setting["batch"] * tokens * WEIGHTS * depth, WEIGHTS * depth * (1 + 0.001 * setting["batch"])


def measured(cell: dict[str, Any], share: float, n: int = 20, unmet: tuple[str, ...] = ()) -> dict[str, Any]:
    """Metrics and environment of a good record that reaches ``share`` of the bound."""
    setting = cell["setting"]
    steps, flops, moved = cost(cell)
    bound = steps * max(flops / FLOPS, moved / BANDWIDTH)
    seconds = bound / share
    interval = {"low": seconds * 0.98, "high": seconds * 1.02} if n > 5 else {}
    metrics: dict[str, Metric] = {
        "latency_s": metric(seconds, n=n, unit="s", **interval),
        "throughput_clips_per_s": metric(setting["batch"] / seconds, n=n, better="higher"),
        "real_time_factor": metric(seconds / setting["seconds"], n=n, better="lower"),
        "bound_s": metric(bound, unit="s"), "bound_ratio": metric(share, better="higher"),
        "flops": metric(steps * flops), "bytes_moved": metric(steps * moved), "evaluations": metric(float(steps)),
        "peak_process_bytes": metric(3e9, unit="B"),
    }  # fmt: skip
    if setting["device"] == "cuda":
        metrics["peak_allocated_bytes"] = metric(1e9 + 5e7 * setting["batch"], unit="B")
    if cell["model"]["paradigm"] in ("ar", "mntp"):
        metrics["time_to_first_audio_s"] = metric(seconds / 20, n=n, unit="s")
    rates = {"copy_bytes_per_s": BANDWIDTH, "flops_per_s": FLOPS, "working_set_bytes": 2 << 30}
    speed = {"rates": rates, "unmet": list(unmet), "state_before": {}, "state_after": {}}
    environment = {"python": "3.11", "packages": {"torch": "2.13"}, "git": {"revision": "abc"}, "speed": speed}
    return {"metrics": metrics, "environment": environment}


def save(results: Path, study: str, arm: str, share: float = 0.0, created: str = "00:00", **options: Any) -> Record:
    """A record; ``status`` other than ok leaves metrics out, ``unmet`` names criteria, the rest is ``a_cell``'s."""
    status, reason = options.pop("status", "ok"), options.pop("reason", "")
    n, unmet = options.pop("n", 20), options.pop("unmet", ())
    cell = a_cell(arm, **options)
    peer = cell["peer"]
    fields: dict[str, Any] = {}
    if status == "ok":
        fields = measured(cell, share or SHARES[cell["model"]["paradigm"]], n, unmet)
    record = Record(
        id=config_hash(cell), study=study, axis="latency", system=f"{arm} ({peer})" if peer else arm,
        kind="reference" if peer else "paradigm", seed=0, status=status, reason=reason, cell=cell,
        created=f"2026-01-01T{created}:00", command=f"bench run {study}", **fields,
    )  # fmt: skip
    return save_record(results / study, record)


def example(results: Path) -> None:
    """A whole folder: sweeps over batch, duration, layers and sampler steps on a GPU, and a few cells on a CPU."""
    for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        saturation = 0.25 + 0.5 * math.log2(batch) / 8
        for rate in (25.0, 50.0):
            setting = {"batch": batch, "frame_rate": rate}
            for arm, relative in {"ar": 1.0, "mar": 0.8, "mntp": 0.6}.items():
                save(results, "latency_batch", arm, saturation * relative, **setting)
            for steps in (200, 50, 10):
                sampler = {"steps": steps}
                save(results, "latency_batch", f"fm-{steps}", 0.7, paradigm="fm", sampler=sampler, **setting)
            if batch in (1, 8, 64):
                save(results, "latency_batch", "ar", 0.12, peer="transformers", **setting)
    save(results, "latency_batch", "ar", batch=512, status="oom", reason="CUDA out of memory: 150 GiB asked for")
    for seconds in (5.0, 10.0, 20.0, 30.0, 40.0):
        unmet = ("spread: 3.1%, not 2%",) if seconds == 40 else ()
        for layers in (2, 24):
            for batch in (1, 8, 64):
                setting = {"batch": batch, "seconds": seconds, "layers": layers, "unmet": unmet}
                save(results, "latency_duration", "ar", **setting)
                save(results, "latency_duration", "fm-50", paradigm="fm", **setting)
    for layers in (2, 4, 8, 16, 24):
        for arm in ("ar", "fm"):
            for batch in (2, 8):
                save(results, "latency_layers", arm, layers=layers, batch=batch)
    for iterations in (4, 8, 16, 32, 64):
        for steps in (25, 50, 100, 200):
            slow = {"status": "timeout", "reason": "600 s were not enough"} if iterations * steps == 12800 else {}
            sampler = {"iterations": iterations, "diffusion_steps": steps}
            save(results, "latency_steps", "mar", batch=8, sampler=sampler, **slow)
    cpu = {"device": "cpu", "hardware": "AMD EPYC", "threads": 2, "dtype": "fp32"}
    for arm in ("ar", "fm", "mar", "mntp"):
        save(results, "latency_batch", arm, seconds=2.0, **cpu)
