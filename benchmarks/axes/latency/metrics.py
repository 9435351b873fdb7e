"""What a latency record holds.

latency_s               median wall seconds of one batch, with the 95% order-statistic interval
throughput_clips_per_s  batch over latency
real_time_factor        latency over the seconds of audio of one clip (Yang et al. 2025, figure 4)
time_to_first_audio_s   until the first ``first_audio_seconds`` of every clip are generated; streaming paradigms
p90_latency_s, p99_...  only if the number of samples supports them
device_s                between the events on the device (GPU)
bound_s                 least time for the operations and bytes of the sampler at the rates measured in the same run
bound_ratio             the share of the bound that is reached: bound over latency, without the time of the decoder
flops, bytes_moved      of one batch, from the config
evaluations             sequential steps of all kinds
tracker_overhead        share of the latency that the tracker itself adds
step_s                  latency over the number of passes through the backbone
peak_*_bytes            of loading this system, its first call and warm-up, without what other systems of the group hold
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ....backbones.cost import bound_seconds
from ....common.device_rates import Rates
from ....common.lines import count
from ....common.memory import Peak
from ...metrics.metric import Metric, metric
from ...study.axis import ItemRow, Measurement
from .model import Subject, backbone_steps
from .tracker.sampling import Compilations, Series
from .tracker.statistics import Median, median, percentile


@dataclass
class Timed:
    """What was measured of one system.

    Attributes:
        series: samples of the whole work.
        peak: peak of memory, without that of other systems of the group.
        overhead_s: seconds that the tracker adds to a sample.
        load_s: seconds of loading the system.
        compiles: counts compilations, if the system is compiled; ``recompiled``: whether there were any while sampling.
        first_audio, decoder: samples of the parts that were timed apart.
    """

    series: Series
    peak: Peak
    overhead_s: float
    load_s: float
    compiles: Compilations | None = None
    recompiled: bool = False
    first_audio: Series | None = None
    decoder: Series | None = None


def measurement(timed: Timed, subject: Subject, rates: Rates, states: dict[str, Any]) -> Measurement:
    """The measurement of one cell."""
    series = timed.series
    unmet = [*series.unmet, *(["compiled code: compiled again while sampling"] if timed.recompiled else [])]
    environment = {
        "device": subject.setting.hardware if subject.device == "cuda" else "cpu",
        "threads": subject.setting.threads,
        "speed": {"rates": asdict(rates), "unmet": unmet, **states},
    }
    timing = {
        "load_s": timed.load_s, "first_call_s": series.first_call_s,
        "warm_up_s": sum(series.warm_ups), "sampling_s": sum(series.wall),
    }  # fmt: skip
    throttled = series.throttled > len(series.samples)
    shared: dict[str, Any] = {"environment": environment, "timing": {k: round(v, 4) for k, v in timing.items()}}
    if not series.samples:
        return Measurement(status="throttled", reason=f"{count(series.throttled, 'sample')}, all throttled", **shared)
    return Measurement(
        metrics=_metrics(timed, subject, rates),
        items=_items(series),
        status="throttled" if throttled else "ok",
        reason=f"{count(series.throttled, 'sample')} throttled, {len(series.samples)} kept" if throttled else "",
        **shared,
    )


def _metrics(timed: Timed, subject: Subject, rates: Rates) -> dict[str, Metric]:
    whole, batch = median(timed.series.wall), subject.batch
    low, high = whole.low or None, whole.high or None
    found = {
        "latency_s": _seconds(whole),
        "throughput_clips_per_s": metric(
            batch / whole.value, low=high and batch / high, high=low and batch / low, n=whole.n, unit="clips/s",
            better="higher",
        ),
        "real_time_factor": _scaled(whole, 1 / subject.setting.seconds, ""),
        **_tails(timed.series.wall),
        **_device(timed.series),
        **_parts(timed),
        **_bound(timed, subject, rates, whole),
        **_memory(timed),
        "first_call_s": metric(timed.series.first_call_s, n=1, unit="s", better="lower"),
        "load_s": metric(timed.load_s, n=1, unit="s", better="lower"),
        "tracker_overhead": metric(timed.overhead_s / whole.value, n=whole.n, better="lower"),
    }  # fmt: skip
    if timed.compiles is not None:
        compile_s = max(0.0, timed.series.first_call_s - whole.value)
        found["compile_s"] = metric(compile_s, n=1, unit="s", better="lower")
    return found


def _bound(timed: Timed, subject: Subject, rates: Rates, whole: Median) -> dict[str, Metric]:
    phases = subject.cost()
    least = bound_seconds(phases, rates.flops_per_s, rates.copy_bytes_per_s)
    decoder_s = _parts(timed).get("decoder_s")
    sampler_s = whole.value - ((decoder_s.value or 0.0) if decoder_s is not None else 0.0)
    return {
        "bound_s": metric(least, n=1, unit="s"),
        "bound_ratio": metric(least / sampler_s if sampler_s > 0 else None, n=whole.n, better="higher"),
        "flops": metric(float(sum(p.times * p.flops for p in phases)), n=1, unit="FLOP"),
        "bytes_moved": metric(float(sum(p.times * p.bytes for p in phases)), n=1, unit="B"),
        "evaluations": metric(float(sum(p.times for p in phases)), n=1),
        "step_s": _scaled(whole, 1 / max(1, backbone_steps(phases)), "s"),
    }


def _parts(timed: Timed) -> dict[str, Metric]:
    parts = {"time_to_first_audio_s": timed.first_audio, "decoder_s": timed.decoder}
    return {name: _seconds(median(part.wall)) for name, part in parts.items() if part is not None and part.samples}


def _device(series: Series) -> dict[str, Metric]:
    """Time between the events on the device, and its energy, if it measures them."""
    found = {}
    events = [sample.device_s for sample in series.samples if sample.device_s is not None]
    if events:
        found["device_s"] = _seconds(median(events))
    joules = [sample.energy_j for sample in series.samples if sample.energy_j is not None]
    if joules:  # the counter is coarse: the mean over all samples is accurate, single samples are not
        found["energy_j"] = metric(sum(joules) / len(joules), n=len(joules), unit="J", better="lower")
    return found


def _memory(timed: Timed) -> dict[str, Metric]:
    peak = timed.peak
    sizes = {"process": peak.process, "allocated": peak.allocated, "reserved": peak.reserved}
    return {
        f"peak_{name}_bytes": metric(float(size), n=1, unit="B", better="lower")
        for name, size in sizes.items()
        if size is not None
    }


def _tails(wall: Sequence[float]) -> dict[str, Metric]:
    tails = {f"p{which}_latency_s": percentile(wall, which) for which in (90, 99)}
    return {n: metric(value, n=len(wall), unit="s", better="lower") for n, value in tails.items() if value is not None}


def _seconds(value: Median) -> Metric:
    return _scaled(value, 1.0, "s")


def _scaled(value: Median, factor: float, unit: str) -> Metric:
    low, high = (None if end is None else end * factor for end in (value.low, value.high))
    return metric(value.value * factor, low=low, high=high, n=value.n, unit=unit, better="lower")


def _items(series: Series) -> list[ItemRow]:
    rows: list[ItemRow] = []
    for i, sample in enumerate(series.samples):
        row: dict[str, Any] = {"item": f"sample {i}", "wall_s": sample.wall_s, "round": sample.round}
        if sample.device_s is not None:
            row["device_s"] = sample.device_s
        rows.append(row)
    return rows
