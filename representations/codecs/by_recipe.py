"""Codecs that come by their recipe instead of their weights: ``codec_trained:RATE@STEPS``.

    load_representation("codec_trained:12.5@400")     # the built-in recipe at 12.5 frames per second, 400 updates

All rates have the same recipe, data (the built-in music) and number of updates, so that only the rate differs. A codec
is trained when it is first loaded, resumed after an interruption, and kept in the cache under a hash of recipe and
data. Equal recipes give equal weights on one machine with one number of threads; elsewhere the weights may differ, and
with them the fingerprint.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from ...common.config import config_hash, to_dict
from ...common.errors import UserError
from ...common.files import cache_dir, locked, read_json
from ...common.lines import count, say
from ...common.needs import Need, may_train
from ...corpora import load_corpus
from .builtin import CodecConfig, SpectralAutoencoder, build, load_builtin, load_codec
from .recipes import recipe
from .training import train_codec

NAME = "codec_trained"


def load_trained(argument: str) -> SpectralAutoencoder:
    """The codec of ``RATE@STEPS``: from the cache, or trained now. A dry run gets one with random weights instead.

    Raises:
        UserError: another argument, a rate without a recipe, or a cache that cannot be written.
    """
    rate, steps = parse(argument)
    config = dataclasses.replace(recipe("codec", rate), steps=steps)
    corpus, name = load_corpus("builtin"), f"{NAME}:{argument}"
    folder = cache_dir("codecs", f"{rate:g}hz-{steps}-{config_hash([to_dict(config), corpus.fingerprint])}")
    if not _finished(folder, steps):
        why = f"no codec with {rate:g} frames per second and {count(steps, 'update')} is in the cache; it is kept there"
        need = Need(f"codec {name}", why, steps * _seconds_per_update())
        if not may_train(need):
            assert isinstance(config.model, CodecConfig)
            codec = build(config.model, name)
            codec.fingerprint = need.identity
            return codec
        with locked(folder / ".lock"):  # two runs that want one codec train it once
            if not _finished(folder, steps):
                train_codec([(corpus, 1.0)], config, folder, name, lambda line: say(f"{name}: {line}"))
    return load_codec(folder, name)


def _seconds_per_update() -> float:
    """Of one core, as the shipped codec took."""
    made = load_builtin().record
    return float(made["cpu_seconds"] / made["steps"])


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
    return record.is_file() and read_json(record, remade=True).get("steps") == steps
