"""Recipes of ``bench codec train`` by name, and the built-in architecture at other frame rates.

    codec     the shipped ``codec_builtin``: 16 kHz, 25 Hz, 32 channels, 4 codebooks of 512
    vae       the shipped ``vae_builtin``: the same networks, a Gaussian posterior instead of codebooks

The frame rate is the hop of the spectra times how many of them make a latent frame; dimension and codebooks stay, and
so does the length of training crops in seconds.
"""

from __future__ import annotations

import dataclasses

from common.errors import UserError, did_you_mean
from representations.codec import CodecConfig
from representations.codec_trainer import CodecTraining

RECIPES = {"codec": CodecTraining(), "vae": CodecTraining(model=CodecConfig(codebooks=0, cardinality=0))}

# Changes of CodecConfig for each frame rate; above 50 Hz windows shorten with the hop, so that they overlap as much.
FRAME_RATES: dict[float, dict[str, int]] = {
    12.5: {"stride": 4},
    25.0: {"stride": 2},
    50.0: {"stride": 1},
    100.0: {"stride": 1, "hop": 160, "n_fft": 640},
}


def recipe(name: str, frame_rate: float | None = None) -> CodecTraining:
    """The recipe called ``name``, at another frame rate if one is given.

    Raises:
        UserError: no such recipe, or no such frame rate.
    """
    if name not in RECIPES:
        raise UserError(f"no recipe {name!r}{did_you_mean(name, list(RECIPES))}; known: {', '.join(RECIPES)}")
    config = RECIPES[name]
    if frame_rate is None:
        return config
    if frame_rate not in FRAME_RATES:
        rates = ", ".join(f"{rate:g}" for rate in FRAME_RATES)
        raise UserError(
            f"--frame-rate {frame_rate:g}: expected one of {rates}; others by --set model.hop and model.stride"
        )
    model = dataclasses.replace(config.model, **FRAME_RATES[frame_rate])
    seconds = config.crop_frames * config.model.stride * config.model.hop
    return dataclasses.replace(config, model=model, crop_frames=seconds // (model.stride * model.hop))
