"""The cells of a latency study: model, latents, sampler, setting and device, with every default filled in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from .... import paradigms
from ....common.config import config_hash, to_dict
from ....common.environment import cpu_model, device_name
from ....common.errors import UserError
from ....common.gpus import device_type, require_gpu
from ....representations.shapes import BUILTIN_LATENT, encodec_latent
from ....representations.spec import LatentSpec
from ...study.cells import Cell, CellConfig
from ...study.study import ArmChoice, Study
from .baselines import baselines_of
from .settings import LatencySettings
from .tracker.statistics import StopRule

VERSION = 1  # raise it when the protocol or the meaning of a metric changes; all cells are then measured again


@dataclass(frozen=True)
class LatencySetting:
    """The work that is timed, and the device that does it.

    Attributes:
        batch: clips that are generated at once.
        seconds, frames: length of a clip, as audio and in latent frames.
        text_tokens: length of the text.
        device: ``cpu`` or ``cuda``; ``hardware`` is its name.
        dtype: number format, a key of ``model.DTYPES``.
        threads: of the CPU.
        decoder: the decoder that is timed too: ``none``, ``builtin`` or ``encodec``.
        compile: whether the backbone is compiled by torch.compile.
        first_audio_seconds: length of the first chunk of a paradigm that streams.
    """

    batch: int = 1
    seconds: float = 0.0
    frames: int = 1
    text_tokens: int = 0
    device: str = ""
    hardware: str = "unknown"
    dtype: str = ""
    threads: int = 0
    decoder: str = "none"
    compile: bool = False
    first_audio_seconds: float = 0.0


@dataclass(frozen=True)
class LatencyConfig(CellConfig):
    """The config of a latency cell.

    Attributes:
        latent: the latents that the model generates.
        protocol: when sampling ends.
        peer: name of the baseline (``baselines``) that does the work; None: our own engine.
    """

    latent: LatentSpec = BUILTIN_LATENT
    setting: LatencySetting = LatencySetting()
    protocol: StopRule = field(default_factory=StopRule)
    peer: str | None = None


def expand(study: Study) -> list[Cell]:
    """One cell per arm and seed, followed by those of its baselines if the study asks for them.

    Raises:
        UserError: an unknown paradigm, option, sampler setting, preset or frame rate; a GPU that is not there.
    """
    settings = study.section(LatencySettings)
    latent = latent_of(study.backbone.preset, settings.frame_rate)
    shared = {
        "axis": "latency",
        "version": VERSION,
        "latent": to_dict(latent),
        "setting": to_dict(_setting(settings, latent)),
        "protocol": to_dict(settings.stop),
    }
    arms = [(seed, arm) for seed in study.seeds for arm in study.arms]
    return [cell for seed, arm in arms for cell in _arm(arm, seed, study, shared, settings.peers)]


def latent_of(scale: str, frame_rate: float | None) -> LatentSpec:
    """The latents of the built-in codec for scale ``tiny``, else those of EnCodec; no weights are needed.

    Raises:
        UserError: the latents do not come at this frame rate.
    """
    if scale != "tiny":
        return encodec_latent(frame_rate)
    if frame_rate not in (None, BUILTIN_LATENT.frame_rate_hz):
        raise UserError(f"latency.frame_rate is {frame_rate:g} but must be 25 at scale tiny; choose another scale")
    return BUILTIN_LATENT


def _setting(settings: LatencySettings, latent: LatentSpec) -> LatencySetting:
    """The setting on this machine.

    Raises:
        UserError: a GPU is asked for and torch finds none.
    """
    if settings.device == "cuda":
        require_gpu("latency.device cuda")
    device = device_type() if settings.device == "auto" else settings.device
    automatic = "bf16" if device == "cuda" else "fp32"
    decoder = "builtin" if latent == BUILTIN_LATENT else "encodec"
    return LatencySetting(
        batch=settings.batch,
        seconds=settings.seconds,
        frames=max(1, latent.frames(settings.seconds)),
        text_tokens=settings.text_tokens,
        device=device,
        hardware=device_name(device) if device == "cuda" else cpu_model(),
        dtype=automatic if settings.dtype == "auto" else settings.dtype,
        threads=settings.threads or os.cpu_count() or 1,
        decoder=decoder if settings.decoder else "none",
        compile=settings.compile,
        first_audio_seconds=settings.first_audio_seconds,
    )


def _arm(arm: ArmChoice, seed: int, study: Study, shared: dict[str, Any], baselines: bool) -> list[Cell]:
    from ...study.arms import architecture

    paradigm = paradigms.find(arm.paradigm)
    config = {
        **shared,
        "model": architecture(arm, study),
        "sampler": to_dict(paradigm.sampler(arm.sampler)),
        "peer": None,
        "seed": seed,
    }
    group = config_hash(config)
    cells = [Cell("latency", arm.name, "paradigm", seed, None, group, config)]
    for baseline in baselines_of(arm.paradigm) if baselines else ():
        name = f"{arm.name} ({baseline})"
        cells.append(Cell("latency", name, "reference", seed, None, group, {**config, "peer": baseline}))
    return cells
