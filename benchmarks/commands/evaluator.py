"""``bench evaluator train``: train the built-in evaluator on a corpus of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The tagger that judges generated clips.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def evaluator() -> None:
    """The tagger that judges generated clips."""


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the evaluator.")],
    corpus: Annotated[str, typer.Option(help="builtin, or a folder with a manifest.")] = "builtin",
    representation: Annotated[str, typer.Option(help="Codec whose sound it shall know too.")] = "codec_builtin",
    cpu_seconds: Annotated[float, typer.Option(help="Budget, in seconds of CPU time.")] = 450.0,
) -> None:
    """Train an evaluator on real clips and their codec reconstructions, or it would misjudge all that a codec made.

    `bench run --corpus FOLDER` does this by itself, and keeps the result in the cache.

    \b
    Examples:
      bench evaluator train --out runs/evaluator --corpus my/folder
    """
    from benchmarks.evaluators.builtin.training import EvaluatorConfig, train_evaluator
    from corpora import load_corpus
    from representations import load_representation

    config = EvaluatorConfig(cpu_seconds=cpu_seconds)
    train_evaluator(load_corpus(corpus), load_representation(representation), config, out)
    print(f"{out}: an evaluator for {corpus}")
