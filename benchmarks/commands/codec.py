"""``bench codec train``: train a codec for a corpus of one's own."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The codec: waveform to latents and codes, and back.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def codec() -> None:
    """The codec: waveform to latents and codes, and back."""


@app.command()
def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the codec; usable as `representation` in a study.")
    ],
    corpus: Annotated[str, typer.Option(help="Corpora with weights, e.g. builtin:0.7,my/folder:0.3")] = "builtin",
    cpu_seconds: Annotated[float, typer.Option(help="Budget, in seconds of CPU time.")] = 2500.0,
    seed: Annotated[int, typer.Option(help="Of initialisation and crops.")] = 0,
) -> None:
    """Train the built-in codec's architecture; stopped, it goes on when the command is given again.

    \b
    Examples:
      bench codec train --out runs/codec --corpus my/folder --cpu-seconds 1200
      bench run quickstart --corpus my/folder --set representation=runs/codec
    """
    from representations.codec_training import CodecTraining, parse_corpora, train_codec

    config = CodecTraining(cpu_seconds=cpu_seconds, seed=seed)
    train_codec(parse_corpora(corpus), config, out, shlex.join(["bench", *sys.argv[1:]]))
    print(f"{out}: use it with --set representation={out}")
