"""``bench tune``: fine-tune a trained model by a reward."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def tune(
    checkpoint: Annotated[Path, typer.Option(help="A model folder of bench train, e.g. runs/fm-.../final.")],
    reward: Annotated[
        str, typer.Option(help="What scores clips: clap_builtin (or another evaluator), aesthetics, FILE.py:FUNCTION.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of this tuning; final/ in it has the weights.")],
    tau: Annotated[float, typer.Option(help="How much better clips count more: weights go as exp(tau reward).")] = 1.0,
    penalty: Annotated[float, typer.Option(help="Weight of the distance to the model before tuning.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="Times that clips are made anew; 1: the paper's.")] = 4,
    clips: Annotated[int, typer.Option(help="Clips per round.")] = 256,
    updates: Annotated[int, typer.Option(help="Training updates per round.")] = 50,
    corpus: Annotated[str, typer.Option(help="Whose training captions are asked for; or a folder.")] = "builtin",
    judge: Annotated[str, typer.Option(help="Evaluator that watches how diverse clips are and how far they move.")] = (
        "builtin"
    ),
    seed: Annotated[int, typer.Option(help="Of captions, clips and training.")] = 0,
    settings: Annotated[
        list[str], typer.Option("--set", help="Any other setting of tuning, e.g. lr=1e-4, collapse=0.5; repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Fine-tune by reward: make clips for training captions, score them, train on them by weight, again and again.

    Stops when clips lose their diversity; what was learnt before that is kept. Judge the result by something else than
    the reward: the study "reward" does.

    \b
    Examples:
      bench tune --checkpoint runs/fm-.../final --reward clap_builtin --tau 10 -o runs/fm-clap
      bench tune --checkpoint runs/mar-.../final --reward mine.py:bright --rounds 1 -o runs/mar-bright
      bench sample --prompt "a calm piece" --checkpoint runs/fm-clap/final
    """
    from benchmarks.evaluators import get_evaluator
    from benchmarks.pipeline import load_model
    from benchmarks.rewards import load_reward
    from benchmarks.study import parse_setting
    from benchmarks.tuning import tell
    from benchmarks.tuning import tune as run
    from common.config import from_dict
    from corpora import load_corpus
    from training.tuning import TuneSpec

    given = {
        "reward": reward, "tau": tau, "penalty": penalty, "rounds": rounds, "clips": clips, "updates": updates,
        "seed": seed, "watched": min(64, clips), "batch": min(16, clips),
    }  # fmt: skip
    spec = from_dict(TuneSpec, {**given, **dict(parse_setting(setting) for setting in settings)}, "tune")
    about = load_model(checkpoint)
    music = load_corpus(corpus)
    scorer = load_reward(spec.reward, music, about.representation)
    listener = get_evaluator(judge, corpus=music, representation=about.representation)
    made = run(
        checkpoint, music.clips("train"), scorer, listener, spec, out,
        report=lambda share, words: print(words, file=sys.stderr),
    )  # fmt: skip
    first, last = made.rounds[0], made.rounds[made.kept]
    print(f"before: {tell(first)}")
    print(f"kept:   {tell(last)}")
    if made.collapsed:
        print(f"note: stopped after round {len(made.rounds) - 1}: diversity fell below {spec.collapse:g} of the first")
    print(f"{made.final}: {made.updates} updates, {made.cpu_seconds / 60:.1f} CPU-minutes")
