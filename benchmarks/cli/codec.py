"""``bench codec train``: train a codec on a corpus."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.config import from_dict, to_dict
from ...common.errors import UserError
from ..analysis.locations import check_writable
from .options import command_line

if TYPE_CHECKING:
    from ...representations.codecs.trainer import CodecRecipe

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def codec() -> None:
    """Train the codec that turns audio into latents and back."""


@app.command()
def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write the codec to; a study names it as its representation.")
    ],
    corpus: Annotated[str, typer.Option(help="Corpora with weights, e.g. builtin:0.7,my/folder:0.3.")] = "builtin",
    recipe: Annotated[
        str, typer.Option(help="Recipe: codec, vae, encodec-25, encodec-50, encodec-100, vae-25, vae-50 or vae-100.")
    ] = "codec",
    frame_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Latent frames per second, for the recipes codec and vae: 12.5, 25, 50 or 100."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training updates. Two runs on one machine give the same bits.")
    ] = None,
    cpu_seconds: Annotated[
        float | None, typer.Option(min=1, help="Training budget in seconds of CPU time. Default: 2500.")
    ] = None,
    wall_seconds: Annotated[
        float | None, typer.Option(min=1, help="Limit in seconds of wall-clock time. Default: 36000.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the initialisation and of the training crops.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Any key of the recipe, e.g. model.dim=16; repeatable.")
    ] = None,
) -> None:
    """Train a codec on a corpus.

    A training that was stopped continues when the same command is given again.

    \b
    Examples:
      bench codec train --corpus my/folder --cpu-seconds 1200 -o runs/codec
      bench codec train --frame-rate 50 --steps 3000 --set model.width=128 -o runs/codec_50hz
      bench codec train --recipe vae --steps 2000 -o runs/vae
      bench codec train --recipe encodec-50 --corpus my/folder -o runs/encodec
      bench run quickstart --corpus my/folder --set representation=runs/codec
    """
    from ...representations.codecs.recipes import recipe as find
    from ...representations.codecs.trainer import parse_corpora, train_codec

    if steps is not None and (cpu_seconds is not None or wall_seconds is not None):
        raise UserError("--steps and --cpu-seconds or --wall-seconds are two budgets; give one of them")
    check_writable(out, "folder")
    if cpu_seconds is not None or wall_seconds is not None:
        steps = 0  # the clock decides
    given = {"steps": steps, "cpu_seconds": cpu_seconds, "wall_seconds": wall_seconds, "seed": seed}
    config = _with_settings(find(recipe, frame_rate), given, settings or [])
    reference = train_codec(parse_corpora(corpus), config, out, command_line())
    print(f"{out}: use it with --set representation={reference}")


def _with_settings(config: CodecRecipe, given: dict[str, Any], settings: Iterable[str]) -> CodecRecipe:
    """The recipe, changed by the options and then by ``--set``."""
    from ..study.load import parse_setting
    from ..study.sweep import check_key

    data = to_dict(config) | {key: value for key, value in given.items() if value is not None}
    for key, value in map(parse_setting, settings):
        *parents, last = key.split(".")
        check_key(type(config), [*parents, last], f"--set {key}")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    return from_dict(type(config), data, "--set")
