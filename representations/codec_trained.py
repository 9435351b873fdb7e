"""Codecs that come by their recipe instead of their weights: ``codec_trained:RATE@STEPS``.

    load_representation("codec_trained:12.5@400")     # the built-in recipe at 12.5 frames per second, 600 updates

All rates have the same recipe, data (the built-in music) and number of updates, so that only the rate differs. Trained
when first asked for, resumed where it was stopped, and kept in the cache under a hash of recipe and data. Equal recipes
give equal weights on one machine with one number of threads; elsewhere they may differ, which the fingerprint tells.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from common.config import config_hash, to_dict
from common.errors import UserError
from common.files import cache_dir, locked, read_json
from common.lines import say
from corpora import load_corpus
from representations.codec import SpectralAutoencoder, load_codec
from representations.codec_recipes import recipe
from representations.codec_training import train_codec

NAME = "codec_trained"


def load_trained(argument: str) -> SpectralAutoencoder:
    """The codec of ``RATE@STEPS``, trained here if the cache has it not.

    Raises:
        UserError: another argument, a rate that the recipe has not, or a cache that cannot be written.
    """
    rate, steps = parse(argument)
    config = dataclasses.replace(recipe("codec", rate), steps=steps)
    corpus, name = load_corpus("builtin"), f"{NAME}:{argument}"
    folder = cache_dir("codecs", f"{rate:g}hz-{steps}-{config_hash([to_dict(config), corpus.fingerprint])}")
    if not _finished(folder, steps):
        with locked(folder / ".lock"):  # two runs that want one codec train it once
            if not _finished(folder, steps):
                say(f"{name}: not in the cache, training it ({steps} updates; stopped, it goes on next time)")
                train_codec([(corpus, 1.0)], config, folder, name, lambda line: say(f"{name}: {line}"))
    return load_codec(folder, name)


def parse(argument: str) -> tuple[float, int]:
    """Rate in Hz and number of updates.

    Raises:
        UserError: not ``RATE@STEPS``.
    """
    rate, _, steps = argument.partition("@")
    with contextlib.suppress(ValueError):
        if float(rate) > 0 and int(steps) > 0:
            return float(rate), int(steps)
    raise UserError(f"{NAME}:{argument}: expected RATE@STEPS, frames per second and updates, e.g. {NAME}:25@400")


def _finished(folder: Path, steps: int) -> bool:
    record = folder / "codec.json"
    return record.is_file() and read_json(record).get("steps") == steps
