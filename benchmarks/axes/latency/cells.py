"""A latency study as cells: model, latent, sampler, setting and device, every default resolved."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from .... import paradigms
from ....backbones import BackboneConfig
from ....backbones.config import preset
from ....common.config import config_hash, from_dict, to_dict
from ....common.environment import cpu_model, device_name
from ....common.errors import UserError
from ....common.gpus import device_type, require_gpu
from ....representations.base import LatentSpec
from ...study.cells import Cell
from ...study.study import ArmChoice, LatencyChoice, Study
from .baselines import peers_of

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new
TEXT_WIDTH = 768  # T5-base
BUILTIN_LATENT = LatentSpec("codec_builtin", 16000, 25.0, 32, codebooks=4, cardinality=512)
# papers/002 appendix E.3: the decoder's strides at each frame rate of its 32 kHz EnCodec; 50 Hz is MusicGen's.
ENCODEC_STRIDES = {25: (8, 8, 5, 4), 50: (8, 5, 4, 4), 100: (8, 5, 4, 2)}


@dataclass(frozen=True)
class Place:
    """Where a study runs: device, its name, number format, threads."""

    device: str
    hardware: str
    dtype: str
    threads: int


def expand(study: Study) -> list[Cell]:
    """Every arm and seed, and after each arm its peer where peers are wanted.

    Raises:
        UserError: an unknown paradigm, option, sampler setting, preset or frame rate; a GPU that is not there.
    """
    choice = study.latency
    place = resolve(choice)
    backbone = {**to_dict(preset(study.backbone.preset)), **study.backbone.overrides}
    shape = from_dict(BackboneConfig, backbone, "backbone")
    latent = latent_of(study.backbone.preset, choice.frame_rate)
    shared = {
        "axis": "latency",
        "version": VERSION,
        "latent": to_dict(latent),
        "setting": _setting(choice, place, latent),
        "protocol": to_dict(choice.stop),
    }
    return [cell for seed in study.seeds for arm in study.arms for cell in _arm(arm, seed, shape, shared, choice.peers)]


def resolve(choice: LatencyChoice) -> Place:
    """The device that ``choice`` means on this machine.

    Raises:
        UserError: a GPU is asked for and torch finds none.
    """
    if choice.device == "cuda":
        require_gpu("latency.device cuda")
    device = device_type() if choice.device == "auto" else choice.device
    dtype = ("bf16" if device == "cuda" else "fp32") if choice.dtype == "auto" else choice.dtype
    hardware = device_name(device) if device == "cuda" else cpu_model()
    return Place(device, hardware, dtype, choice.threads or os.cpu_count() or 1)


def latent_of(scale: str, frame_rate: float | None) -> LatentSpec:
    """The built-in codec's latent at scale ``tiny``, else that of papers/002's EnCodec; weights are not needed.

    Raises:
        UserError: a frame rate that the latent has not.
    """
    if scale == "tiny":
        if frame_rate not in (None, BUILTIN_LATENT.frame_rate_hz):
            raise UserError(f"latency.frame_rate is {frame_rate:g} but must be 25 at scale tiny; choose another scale")
        return BUILTIN_LATENT
    rate = 50.0 if frame_rate is None else frame_rate
    if rate not in ENCODEC_STRIDES:
        raise UserError(f"latency.frame_rate is {rate:g} but must be one of {', '.join(map(str, ENCODEC_STRIDES))}")
    return LatentSpec(f"encodec_{rate:g}hz", 32000, rate, 128, codebooks=4, cardinality=2048)


def _setting(choice: LatencyChoice, place: Place, latent: LatentSpec) -> dict[str, Any]:
    decoder = "builtin" if latent == BUILTIN_LATENT else "encodec"
    return {
        "batch": choice.batch,
        "seconds": choice.seconds,
        "frames": max(1, latent.frames(choice.seconds)),
        "text_tokens": choice.text_tokens,
        **dataclasses.asdict(place),
        "decoder": decoder if choice.decoder else "none",
        "compile": choice.compile,
        "first_audio_seconds": choice.first_audio_seconds,
    }


def _arm(arm: ArmChoice, seed: int, shape: BackboneConfig, shared: dict[str, Any], peers: bool) -> list[Cell]:
    paradigm = paradigms.find(arm.paradigm)
    config = {
        **shared,
        "model": {
            "paradigm": arm.paradigm,
            "options": to_dict(from_dict(paradigm.options_class, arm.options, f"{arm.name} options")),
            "backbone": to_dict(dataclasses.replace(shape, **paradigm.backbone_needs)),
        },
        "sampler": to_dict(paradigm.sampler(arm.sampler)),
        "peer": None,
        "seed": seed,
    }
    group = config_hash(config)
    cells = [Cell("latency", arm.name, "paradigm", seed, None, group, config)]
    for peer in peers_of(arm.paradigm) if peers else ():
        name = f"{arm.name} ({peer})"
        cells.append(Cell("latency", name, "reference", seed, None, group, {**config, "peer": peer}))
    return cells
