"""Recipes of ``bench codec train`` by name, and the built-in architecture at other frame rates.

    codec         the shipped ``codec_builtin``: 16 kHz, 25 Hz, 32 channels, 4 codebooks of 512
    vae           the shipped ``vae_builtin``: the same networks, a Gaussian posterior instead of codebooks
    encodec-25    EnCodec of papers/002, table E.3, at 25, 50 or 100 Hz: 32 kHz, 128 channels, 4 codebooks of 2048
    vae-25        its VAE-GAN at 25, 50 or 100 Hz: 32 kHz, 64 channels, alpha_KL 1e-3

The built-in frame rate is the hop of the spectra times how many of them make a latent frame; dimension and codebooks
stay, and so does the length of training crops in seconds.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from ...common.errors import UserError, did_you_mean
from .adversarial import AdversarialTraining, EncodecTrainer, LossWeights, OobleckTrainer
from .builtin import CodecConfig
from .builtin_trainer import CodecTrainer, CodecTraining, VAETrainer
from .models import WaveModel
from .trainer import Trainer

Recipe: TypeAlias = CodecTraining | AdversarialTraining


def _encodec(*strides: int) -> AdversarialTraining:
    return AdversarialTraining(WaveModel("encodec", strides, width=64, dim=128, codebooks=4, cardinality=2048))


def _vae(*strides: int) -> AdversarialTraining:
    return AdversarialTraining(
        WaveModel("vae", strides, width=128, dim=64),
        losses=LossWeights(wave=0.0, mel=1.0, adversarial=0.1, features=5.0),
        balance=False,
        latent_weight=1e-3,
        betas=(0.8, 0.99),
        weight_decay=1e-3,
        ema=0.9999,
        filters=64,
    )


RECIPES: dict[str, Recipe] = {
    "codec": CodecTraining(),
    "vae": CodecTraining(model=CodecConfig(codebooks=0, cardinality=0)),
    "encodec-25": _encodec(8, 8, 5, 4),
    "encodec-50": _encodec(8, 5, 4, 4),
    "encodec-100": _encodec(8, 5, 4, 2),
    "vae-25": _vae(2, 4, 4, 5, 8),
    "vae-50": _vae(2, 4, 4, 4, 5),
    "vae-100": _vae(2, 2, 4, 4, 5),
}

# Changes of CodecConfig for each frame rate; above 50 Hz windows shorten with the hop, so that they overlap as much.
FRAME_RATES: dict[float, dict[str, int]] = {
    12.5: {"stride": 4},
    25.0: {"stride": 2},
    50.0: {"stride": 1},
    100.0: {"stride": 1, "hop": 160, "n_fft": 640},
}


def recipe(name: str, frame_rate: float | None = None) -> Recipe:
    """The recipe called ``name``; the built-in ones at another frame rate if one is given.

    Raises:
        UserError: no such recipe, or no such frame rate.
    """
    if name not in RECIPES:
        raise UserError(f"no recipe {name!r}{did_you_mean(name, list(RECIPES))}; known: {', '.join(RECIPES)}")
    config = RECIPES[name]
    if frame_rate is None:
        return config
    if not isinstance(config, CodecTraining):
        raise UserError(f"--frame-rate is for codec and vae; the frame rate of {name} is in its name")
    if frame_rate not in FRAME_RATES:
        rates = ", ".join(f"{rate:g}" for rate in FRAME_RATES)
        raise UserError(
            f"--frame-rate {frame_rate:g}: expected one of {rates}; others by --set model.hop and model.stride"
        )
    model = dataclasses.replace(config.model, **FRAME_RATES[frame_rate])
    seconds = config.crop_frames * config.model.stride * config.model.hop
    return dataclasses.replace(config, model=model, crop_frames=seconds // (model.stride * model.hop))


def trainer_for(config: Recipe) -> Trainer:
    """A new run of a recipe."""
    if isinstance(config, AdversarialTraining):
        return EncodecTrainer(config) if config.model.family == "encodec" else OobleckTrainer(config)
    return CodecTrainer(config) if config.model.codebooks else VAETrainer(config)
