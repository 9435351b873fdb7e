"""Recipes of ``bench codec train`` by name, and the representation ``codec_trained:RATE@STEPS``, trained when loaded.

    codec         the shipped ``codec_builtin``: 16 kHz, 25 Hz, 32 channels, 4 codebooks of 512
    vae           the shipped ``vae_builtin``: the same networks, a Gaussian posterior instead of codebooks
    encodec-25    EnCodec of Tal et al. 2025, table E.3, at 25, 50 or 100 Hz: 32 kHz, 128 channels, 4 codebooks of 2048
    vae-25        its VAE-GAN at 25, 50 or 100 Hz: 32 kHz, 64 channels, alpha_KL 1e-3

The built-in frame rate is the hop of the spectra times the number of spectra in a latent frame. At other frame rates
dimension, codebooks and the length of training crops in seconds stay the same.

    load_representation("codec_trained:12.5@400")     # the built-in recipe at 12.5 frames per second, 400 updates

All rates of ``codec_trained`` have the same recipe, data (the built-in music) and number of updates, so that only the
rate differs. A codec is trained when it is first loaded, resumed after an interruption, and kept in the cache under a
hash of recipe and data. Equal recipes give equal weights on one machine with one number of threads. On another machine
the weights may differ, and with them the fingerprint.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from ...common.config import config_hash, to_dict
from ...common.errors import UserError, did_you_mean
from ...common.files import cache_dir, read_json
from ...common.lines import count, say
from ...common.locks import locked
from ...common.needs import Need, may_train
from ...corpora import load_corpus
from ..shapes import ENCODEC_STRIDES
from .adversarial import AdversarialRecipe, LossWeights
from .builtin import CodecConfig, SpectralAutoencoder, build, load_builtin, load_codec
from .builtin_trainer import BuiltinRecipe
from .trainer import CodecRecipe, train_codec
from .waveform import WaveModel

NAME = "codec_trained"


def _encodec(*strides: int) -> AdversarialRecipe:
    """EnCodec of Tal et al. 2025, table E.3; loss weights of audiocraft."""
    return AdversarialRecipe(WaveModel("encodec", strides, width=64, dim=128, codebooks=4, cardinality=2048))


def _vae(*strides: int) -> AdversarialRecipe:
    """VAE-GAN of Tal et al. 2025, table E.3; loss weights of stable-audio-tools."""
    return AdversarialRecipe(
        WaveModel("vae", strides, width=128, dim=64),
        losses=LossWeights(wave=0.0, mel=1.0, adversarial=0.1, features=5.0),
        balance=False,
        latent_weight=1e-3,
        betas=(0.8, 0.99),
        weight_decay=1e-3,
        ema=0.9999,
        filters=64,
    )


RECIPES: dict[str, CodecRecipe] = {
    "codec": BuiltinRecipe(),
    "vae": BuiltinRecipe(model=CodecConfig(codebooks=0, cardinality=0)),
    "encodec-25": _encodec(*ENCODEC_STRIDES[25]),
    "encodec-50": _encodec(*ENCODEC_STRIDES[50]),
    "encodec-100": _encodec(*ENCODEC_STRIDES[100]),
    "vae-25": _vae(2, 4, 4, 5, 8),
    "vae-50": _vae(2, 4, 4, 4, 5),
    "vae-100": _vae(2, 2, 4, 4, 5),
}

# Changes of CodecConfig for each frame rate. Above 50 Hz windows shorten with the hop, so that the overlap is the same.
FRAME_RATES: dict[float, dict[str, int]] = {
    12.5: {"stride": 4},
    25.0: {"stride": 2},
    50.0: {"stride": 1},
    100.0: {"stride": 1, "hop": 160, "n_fft": 640},
}


def recipe(name: str, frame_rate: float | None = None) -> CodecRecipe:
    """The recipe called ``name``.

    Args:
        frame_rate: latent frames per second, for the built-in recipes; None: the recipe's own.

    Raises:
        UserError: no such recipe, or no such frame rate.
    """
    if name not in RECIPES:
        raise UserError(f"no recipe {name!r}{did_you_mean(name, list(RECIPES))}; known: {', '.join(RECIPES)}")
    config = RECIPES[name]
    if frame_rate is None:
        return config
    if not isinstance(config, BuiltinRecipe):
        raise UserError(f"--frame-rate is for codec and vae; the frame rate of {name} is in its name")
    return _at_frame_rate(config, frame_rate)


def _at_frame_rate(config: BuiltinRecipe, frame_rate: float) -> BuiltinRecipe:
    """The built-in recipe at another frame rate; training crops last as many seconds."""
    if frame_rate not in FRAME_RATES:
        rates = ", ".join(f"{rate:g}" for rate in FRAME_RATES)
        raise UserError(
            f"--frame-rate {frame_rate:g}: expected one of {rates}; others by --set model.hop and model.stride"
        )
    model = dataclasses.replace(config.model, **FRAME_RATES[frame_rate])
    samples = config.crop_frames * config.model.stride * config.model.hop
    return dataclasses.replace(config, model=model, crop_frames=samples // (model.stride * model.hop))


def load_trained(argument: str) -> SpectralAutoencoder:
    """The codec of ``RATE@STEPS``: from the cache, or trained now; a dry run gets one with random weights.

    Raises:
        UserError: another argument, a rate without a recipe, or a cache that cannot be written.
    """
    rate, steps = parse_trained(argument)
    config = dataclasses.replace(_at_frame_rate(BuiltinRecipe(), rate), steps=steps)
    corpus, name = load_corpus("builtin"), f"{NAME}:{argument}"
    folder = cache_dir("codecs", f"{rate:g}hz-{steps}-{config_hash([to_dict(config), corpus.fingerprint])}")
    if not _finished(folder, steps):
        why = f"no codec with {rate:g} frames per second and {count(steps, 'update')} is in the cache; it is kept there"
        shipped = load_builtin().record  # how long its training took
        need = Need(f"codec {name}", why, steps * float(shipped["cpu_seconds"] / shipped["steps"]))
        if not may_train(need):
            codec = build(config.model, name)
            codec.fingerprint = need.identity
            return codec
        with locked(folder / ".lock"):  # two runs that want one codec train it once
            if not _finished(folder, steps):
                train_codec([(corpus, 1.0)], config, folder, name, lambda line: say(f"{name}: {line}"))
    return load_codec(folder, name)


def parse_trained(argument: str) -> tuple[float, int]:
    """``"12.5@400"`` -> the frame rate in Hz and the number of updates; a UserError for another form."""
    rate, _, steps = argument.partition("@")
    with contextlib.suppress(ValueError):
        if float(rate) > 0 and int(steps) > 0:
            return float(rate), int(steps)
    raise UserError(f"{NAME}:{argument}: expected RATE@STEPS, frames per second and updates, e.g. {NAME}:25@400")


def _finished(folder: Path, steps: int) -> bool:
    """Whether ``folder`` holds a codec that was trained for ``steps`` updates."""
    record = folder / "codec.json"
    return record.is_file() and read_json(record, remade=True).get("steps") == steps
