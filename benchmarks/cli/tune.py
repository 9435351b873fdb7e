"""``bench tune``: fine-tune a trained model by a reward."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ...common.config import from_dict
from ...common.lines import count
from ..analysis.locations import check_writable
from .options import Checkpoint


def tune(
    checkpoint: Checkpoint,
    reward: Annotated[
        str,
        typer.Option(help="Reward: clap_builtin (or clap_ and another evaluator), aesthetics, or FILE.py:FUNCTION."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to; the tuned model is in final/.")],
    tau: Annotated[
        float, typer.Option(min=0, help="Strength of the reward: a clip has the weight exp(tau * reward).")
    ] = 1.0,
    penalty: Annotated[
        float, typer.Option(min=0, help="Weight of the penalty for the distance to the model before tuning.")
    ] = 1.0,
    rounds: Annotated[
        int, typer.Option(min=1, help="Rounds of generating clips and training on them; the paper has 1.")
    ] = 4,
    clips: Annotated[int, typer.Option(min=1, help="Clips to generate per round.")] = 256,
    updates: Annotated[int, typer.Option(min=1, help="Training updates per round.")] = 50,
    corpus: Annotated[
        str, typer.Option(help="Corpus whose training captions are the prompts: builtin, or a folder.")
    ] = "builtin",
    judge: Annotated[
        str, typer.Option(help="Evaluator that measures the diversity of the clips and their distance from the first.")
    ] = ("builtin"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of captions, clips and training.")] = 0,
    settings: Annotated[
        list[str], typer.Option("--set", help="Any other setting of tuning, e.g. lr=1e-4; repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Fine-tune a trained model by a reward.

    Each round generates clips for training captions, scores them, and trains on them with weights by score. Tuning
    stops when the clips lose diversity, and keeps the model of the round before. Judge the result by another metric
    than the reward, as the study "reward" does.

    \b
    Examples:
      bench tune --checkpoint runs/fm-.../final --reward clap_builtin --tau 10 -o runs/fm-clap
      bench tune --checkpoint runs/mar-.../final --reward mine.py:bright --rounds 1 -o runs/mar-bright
      bench sample --prompt "a calm piece" --checkpoint runs/fm-clap/final
    """
    from ...corpora import load_corpus
    from ...paradigms.pipeline import load_model
    from ...training.tuning import TuneSpec
    from ...training.tuning_rounds import tell
    from ...training.tuning_rounds import tune as run
    from ..evaluators import get_evaluator
    from ..evaluators.rewards import load_reward
    from ..study.load import parse_setting

    check_writable(out, "folder")
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
    print(f"{made.final}: {count(made.updates, 'update')}, {made.cpu_seconds / 60:.1f} CPU-minutes")
