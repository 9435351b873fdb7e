"""``bench score``: score a folder of generated clips against a folder of real ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.config import to_dict
from ...common.console import table
from ...common.errors import UserError
from ...common.files import json_text, write_json
from ...common.lines import count, say
from ..analysis.locations import check_writable
from .options import Json

if TYPE_CHECKING:
    from ..evaluators.folders.score import FolderScores

INTERVAL_S = 10.0  # between two lines of progress


def score(
    reference: Annotated[Path, typer.Option(help="Folder of real audio (WAV, FLAC, OGG, MP3), with its subfolders.")],
    generated: Annotated[
        Path, typer.Option(help="Folder of generated audio. Files with the same name are compared as pairs.")
    ],
    captions: Annotated[
        Path | None,
        typer.Option(help="Captions of the generated files: a .csv or .jsonl file with columns path and caption."),
    ] = None,
    evaluator: Annotated[
        str,
        typer.Option(
            help="Evaluator: builtin, clap:NAME, encodec:NAME, or a folder that bench evaluators train wrote."
        ),
    ] = "builtin",
    n: Annotated[
        int,
        typer.Option("--n", min=0, show_default=False, help="Number of clips to score from each folder. Default: all."),
    ] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be scored.")] = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=0, show_default=False, help="Worker processes; scores do not depend on it. Default: one per core."
        ),
    ] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file to write scores and settings to.")] = None,
    as_json: Json = False,
) -> None:
    """Score a folder of generated clips against real ones.

    Prints every score with its interval. Scores are comparable only at equal n, evaluator and settings. A file that
    cannot be read is left out with its pair, and named. The evaluator's outputs are cached by the content of the files,
    so a second run is fast.

    \b
    Examples:
      bench score --reference real/ --generated mine/
      bench score --reference real/ --generated mine/ --captions mine/captions.csv --strict -o scores.json
      bench score --reference real/ --generated mine/ --n 256 --evaluator clap:music
    """
    from ..evaluators.folders.files import read_captions
    from ..evaluators.folders.score import ScoreRequest, score_folders

    if n == 1:
        raise UserError("--n 1: a score of a set needs 2 clips or more; give 2 or more, or 0 for all")
    if out is not None:
        check_writable(out, "file")
    asked = read_captions(captions) if captions is not None else {}
    workers = jobs or os.cpu_count() or 1
    found = score_folders(ScoreRequest(reference, generated, evaluator, asked, strict, n, workers), _reporter())
    if out is not None:
        write_json(out, _data(found))
    print(scores_text(found, as_json))


def scores_text(found: FolderScores, as_json: bool = False) -> str:
    """The table of scores, the settings behind it, and the notes; as JSON, the content of the file of ``--out``."""
    from ..report.scores import ARROWS, figure

    if as_json:
        return json_text(_data(found)).rstrip()
    about = found.policy
    rows = [[name + ARROWS[m.better], figure(m), str(m.n)] for name, m in found.metrics.items()]
    missing = [f"not scored: {name}: {why}" for name, why in about["not_scored"].items()]
    rates = " and ".join("/".join(map(str, about[f"sample_rates_{kind}"])) for kind in ("reference", "generated"))
    policy = about["policy"]
    basis = (
        f"evaluator {about['evaluator']} ({about['evaluator_identity'][:8]}, {about['evaluator_checkpoint']}); "
        f"{about['n_reference']} reference and {count(about['n_generated'], 'generated clip')}"
        f"{', paired by name' if about['paired_by_name'] else ''}; files at {rates} Hz, {policy['channels']}, "
        f"peak {policy['peak_dbfs']:g} dBFS; {about['silent_clips']} silent"
    )
    return "\n".join([table(["metric", "score [95%]", "n"], rows), basis, *missing, *found.notes])


def _data(found: FolderScores) -> dict[str, Any]:
    scores = {name: to_dict(m) for name, m in found.metrics.items()}
    return {"metrics": scores, "policy": found.policy, "notes": found.notes}


def _reporter() -> Callable[[int, int], None]:
    """A callback that prints the number of scored files every ten seconds."""
    last = [time.monotonic()]

    def report(done: int, total: int) -> None:
        if time.monotonic() - last[0] >= INTERVAL_S:
            last[0] = time.monotonic()
            say(f"{done:,} of {count(total, 'file')} scored")

    return report
