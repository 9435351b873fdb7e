"""Time and memory of latency cells, before anything is run.

Time of one sample: the hardware bound at rates measured now, over the share of the bound that earlier records of the
same paradigm reached, on this hardware or, without one, in the published records. On the CPU sampling is planned to
last until its cap, because nearly all published cells ended there: a shared machine seldom reaches the wanted spread
earlier. On a GPU the published cells reached it with the smallest number of samples.

Memory: weights, caches and the largest activations, which is rather too little than too much. A cell that needs far
more than the device has is not tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ....backbones.cost import bound_seconds
from ....common.device_rates import Rates, measure_rates
from ....common.memory import total_memory
from ...analysis.records import Record, all_records
from ...run.estimate.sizes import parameter_count
from ...run.estimate.timings import TimedConfig, bound_shares, published
from ...study.axis import Estimate, Measurement
from ...study.cells import Cell
from .cells import LatencyConfig
from .model import DTYPES, build
from .tracker.statistics import PARTS, StopRule

if TYPE_CHECKING:
    from ....paradigms.base import Paradigm

OURS, BASELINE = 0.3, 0.2  # share of the bound that our model and a baseline reach, without any record
CLEARLY = 1.5  # an estimate above this multiple of the device's memory means that the cell does not fit
PROCESS = 5e8  # bytes of Python and torch
STARTING = 6.0  # seconds in which a worker starts and measures the device's rates
LOADING = 3.5e-8  # seconds per parameter of random initialisation
Place = tuple[str, str | None, int, int, str, str]  # paradigm, baseline, width, batch, hardware, dtype


def estimate(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Time and memory by cell id, and a sentence on how they were estimated."""
    shares = bound_shares(all_records(results), _place_of_record)
    rates: dict[tuple[str, str, int], Rates] = {}
    found = {}
    for cell in cells:
        config = cell.read(LatencyConfig)
        model, setting, dtype = meta_model(config), config.setting, DTYPES[config.setting.dtype]
        working_set = parameter_count(model) * dtype.itemsize
        key = (setting.device, setting.dtype, round(working_set / 1e7))
        if key not in rates:
            rates[key] = measure_rates(working_set, dtype, setting.device)
        sampler = model.sampler(config.sampler)
        phases = model.cost(setting.batch, setting.frames, sampler, setting.text_tokens, dtype.itemsize)
        bound = bound_seconds(phases, rates[key].flops_per_s, rates[key].copy_bytes_per_s)
        seconds = _cell_seconds(config, bound / _share(config, shares), model)
        found[cell.id] = Estimate(seconds, needed_bytes(config, model))
    return found, (
        "Times: the hardware bound at rates measured now, divided by the share of it that earlier records of the same "
        f"paradigm reached (here, or published: {published().machine}); on the CPU sampling lasts until its cap. "
        "Memory: weights, caches and the largest activations."
    )


def hopeless(config: LatencyConfig) -> Measurement | None:
    """The result ``oom`` for a cell that needs far more memory than the device has; None for one worth trying."""
    needed, there = needed_bytes(config, meta_model(config)), total_memory(config.setting.device)
    if there is None or needed <= CLEARLY * there:
        return None
    return Measurement(status="oom", reason=f"not tried: needs about {needed / 1e9:.0f} GB of {there / 1e9:.0f} GB")


def needed_bytes(config: LatencyConfig, model: Paradigm) -> float:
    """Memory in bytes that a cell needs: weights, KV caches and the largest activations of one forward pass."""
    setting, shape, parameters = config.setting, model.backbone_config, parameter_count(model)
    width, layers, tokens = shape.d_model, shape.n_layers, setting.text_tokens
    rows = setting.batch * getattr(model.sampler(config.sampler), "branches", 1)
    length = setting.frames + (tokens if shape.text == "prefix" else 0)
    text = 2 * layers * setting.batch * tokens * width if shape.text == "cross" else 0
    per_position = 2 * layers * width if shape.causal else 4 * width + 2 * shape.d_ff
    weights = parameters * (1 + (config.peer == "transformers"))  # this baseline has weights of its own
    if setting.device == "cpu" and setting.dtype == "fp32":
        weights += parameters  # the packed copies of backbones/linear.py
    size = DTYPES[setting.dtype].itemsize
    process = PROCESS if setting.device == "cpu" else 0.0
    decoder = 0.0
    if setting.decoder == "encodec":  # its layers at the rate of the waveform: 64 channels, in and out
        samples = setting.batch * setting.seconds * config.latent.sample_rate
        decoder = samples * 64 * 2 * size
    return process + (weights + rows * length * per_position + text) * size + decoder


def meta_model(config: LatencyConfig) -> Paradigm:
    """The model of a cell, without memory for its weights."""
    with torch.device("meta"):
        return build(config)


def _cell_seconds(config: LatencyConfig, sample_s: float, model: Paradigm) -> float:
    setting = config.setting
    seconds = STARTING + LOADING * parameter_count(model) + _series_seconds(config.protocol, sample_s, setting.device)
    if model.streams and config.peer is None:  # the time to first audio is measured too
        share = min(1.0, setting.first_audio_seconds / setting.seconds)
        seconds += _series_seconds(PARTS, share * sample_s, setting.device)
    return seconds


def _series_seconds(rule: StopRule, sample_s: float, device: str) -> float:
    """Seconds of the first call, the warm-ups, and the samples."""
    warm_ups = 1 + (rule.warm_ups if sample_s <= rule.slow else 0)
    taken = min(rule.cap_samples, math.ceil(rule.cap_seconds / sample_s))
    if device != "cpu":
        taken = min(taken, max(rule.samples, math.ceil(rule.seconds / sample_s)))
    return (warm_ups + taken) * sample_s


def _share(config: LatencyConfig, here: Mapping[Place, float]) -> float:
    place = _place(config)
    paradigm, baseline, width, batch, *_ = place
    published_share = published().bound_share(paradigm, baseline, width, batch)
    return here.get(place) or published_share or (OURS if baseline is None else BASELINE)


def _place(config: LatencyConfig) -> Place:
    model, setting = config.model, config.setting
    assert model is not None
    shape = (model.backbone.d_model, setting.batch)
    return (model.paradigm, config.peer, *shape, setting.hardware, setting.dtype)


def _place_of_record(record: Record, config: TimedConfig) -> Place:
    return _place(record.read(LatencyConfig))
