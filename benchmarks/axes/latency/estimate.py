"""How long a latency cell will take and what memory it needs, before anything is run.

Time of one sample: the bound of its config at rates measured now, over the share of the bound that earlier records of
the same paradigm reached, on this hardware or, without one, in the published records. Sampling is planned to last until
its cap, because nearly all published cells ended there: a shared machine seldom meets the wanted spread earlier.
Memory: weights, caches and the largest activations, which is rather too little than too much; a cell that clearly needs
more than there is is not tried.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ....backbones.cost import bound_seconds
from ....common.config import from_dict
from ...analysis.records import all_records
from ...run.estimate.timings import published
from ...study.axis import Estimate, Measurement
from ...study.cells import Cell
from .model import DTYPES, build
from .tracker.memory import total_memory
from .tracker.rates import Rates, measure_rates
from .tracker.stopping import PARTS, StopRule

REACHED = {False: 0.3, True: 0.2}  # share of the bound without any record: our model, a peer
CLEARLY = 1.5  # what needs this many times the memory there is will not fit, however rough the estimate
PROCESS = 5e8  # bytes of Python and torch themselves
STARTING = 6.0  # seconds in which a worker starts and measures the device's rates
LOADING = 3.5e-8  # seconds per parameter of initialising at random


def estimate(cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
    """Each cell's time and memory."""
    shares = _shares(results)
    rates: dict[tuple[str, str, int], Rates] = {}
    found = {}
    for cell in cells:
        model, setting = _on_paper(cell.config), cell.config["setting"]
        size = DTYPES[setting["dtype"]].itemsize
        working_set = _parameters(model) * size
        key = (setting["device"], setting["dtype"], round(working_set / 1e7))
        if key not in rates:
            rates[key] = measure_rates(working_set, DTYPES[setting["dtype"]], setting["device"])
        sampler = model.sampler(cell.config["sampler"])
        phases = model.cost(setting["batch"], setting["frames"], sampler, setting["text_tokens"], size)
        least = bound_seconds(phases, rates[key].flops_per_s, rates[key].copy_bytes_per_s)
        sample_s = least / _share(cell.config, shares)
        found[cell.id] = Estimate(_cell_seconds(cell.config, sample_s, model), needed_bytes(cell.config))
    return found, (
        "Times: the hardware bound at rates measured now, divided by the share of it that earlier records of the same "
        f"paradigm reached (here, or published: {published().machine}); sampling lasts until its cap. "
        "Memory: weights, caches and the largest activations."
    )


def hopeless(config: dict[str, Any]) -> Measurement | None:
    """An ``oom`` for a cell that clearly needs more memory than there is; None for one worth trying."""
    needed, there = needed_bytes(config), total_memory(config["setting"]["device"])
    if there is None or needed <= CLEARLY * there:
        return None
    return Measurement(status="oom", reason=f"not tried: needs about {needed / 1e9:.0f} GB of {there / 1e9:.0f} GB")


def needed_bytes(config: dict[str, Any]) -> float:
    """Weights (once more for a peer that has its own), KV caches and the largest activations of one pass."""
    model, setting, shape = _on_paper(config), config["setting"], config["model"]["backbone"]
    size = DTYPES[setting["dtype"]].itemsize
    width, layers, tokens = shape["d_model"], shape["n_layers"], setting["text_tokens"]
    rows = setting["batch"] * getattr(model.sampler(config["sampler"]), "branches", 1)
    length = setting["frames"] + (tokens if shape["text"] == "prefix" else 0)
    text = 2 * layers * setting["batch"] * tokens * width if shape["text"] == "cross" else 0
    per_position = 2 * layers * width if shape["causal"] else 4 * width + 2 * shape["d_ff"]
    held = rows * length * per_position
    weights = _parameters(model) * (1 + (config["peer"] == "transformers"))
    if setting["device"] == "cpu" and setting["dtype"] == "fp32":
        weights += _parameters(model)  # the packed copies of backbones/linear.py
    return PROCESS * (setting["device"] == "cpu") + (weights + held + text) * size + _decoder_bytes(config)


def _decoder_bytes(config: dict[str, Any]) -> float:
    """The waveform-rate layers of an EnCodec decoder: 64 channels, in and out."""
    setting = config["setting"]
    if setting["decoder"] != "encodec":
        return 0.0
    samples = setting["batch"] * setting["seconds"] * config["latent"]["sample_rate"]
    return float(samples * 64 * 2 * DTYPES[setting["dtype"]].itemsize)


def _cell_seconds(config: dict[str, Any], sample_s: float, model: Any) -> float:
    rule, setting = from_dict(StopRule, config["protocol"], "protocol"), config["setting"]
    seconds = STARTING + LOADING * _parameters(model) + _series_seconds(rule, sample_s)
    if model.streams and config["peer"] is None:  # the time to first audio is measured beside
        share = min(1.0, setting["first_audio_seconds"] / setting["seconds"])
        seconds += _series_seconds(PARTS, share * sample_s)
    return seconds


def _series_seconds(rule: StopRule, sample_s: float) -> float:
    """The first call, the warm-ups, and samples until a cap."""
    warm_ups = 1 + (rule.warm_ups if sample_s <= rule.slow else 0)
    taken = min(rule.cap_samples, math.ceil(rule.cap_seconds / sample_s))
    return (warm_ups + taken) * sample_s


def _share(config: dict[str, Any], here: dict[tuple[Any, ...], float]) -> float:
    """Of the bound that samples will reach."""
    width, batch = config["model"]["backbone"]["d_model"], config["setting"]["batch"]
    found = here.get(_kin(config)) or published().bound_share(config["model"]["paradigm"], config["peer"], width, batch)
    return found or REACHED[config["peer"] is not None]


def _on_paper(config: dict[str, Any]) -> Any:
    """The model without memory for its weights."""
    tokens = config["setting"]["text_tokens"]
    return _built(
        json.dumps({"model": config["model"], "latent": config["latent"], "setting": {"text_tokens": tokens}})
    )


@functools.lru_cache(maxsize=32)
def _built(config: str) -> Any:
    with torch.device("meta"):
        return build(json.loads(config))


def _parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _shares(results: Path) -> dict[tuple[Any, ...], float]:
    """The median share of the bound that records reached, by paradigm, peer, width, batch and hardware."""
    reached: dict[tuple[Any, ...], list[float]] = {}
    for record in all_records(results):
        ratio = record.metrics.get("bound_ratio")
        if record.axis == "latency" and ratio is not None and ratio.value:
            reached.setdefault(_kin(record.cell), []).append(ratio.value)
    return {key: statistics.median(values) for key, values in reached.items()}


def _kin(config: dict[str, Any]) -> tuple[Any, ...]:
    shape, setting = config["model"]["backbone"], config["setting"]
    named = (config["model"]["paradigm"], config["peer"], shape["d_model"])
    return (*named, setting["batch"], setting["hardware"], setting["dtype"])
