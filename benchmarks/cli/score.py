"""``bench score``: score a folder of generated clips against a folder of real ones."""

from __future__ import annotations

import dataclasses
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.config import to_dict
from ...common.console import table
from ...common.errors import UserError
from ...common.files import json_text, write_json
from ...common.lines import count, say
from ..analysis.locations import OWN, check_folder, check_writable
from .options import Json, ReadResults

if TYPE_CHECKING:
    from ..evaluators.folders.score import FolderScores

INTERVAL_S = 10.0  # between two lines of progress


def score(
    reference: Annotated[
        Path, typer.Option(help="Folder of real audio (WAV, FLAC, Ogg, MP3, AIFF; M4A by ffmpeg), with its subfolders.")
    ],
    generated: Annotated[
        Path, typer.Option(help="Folder of generated audio. Files with the same name are compared as pairs.")
    ],
    captions: Annotated[
        Path | None,
        typer.Option(
            help="Captions of the generated files: a .csv or .jsonl file with columns path and caption, or the table "
            "of a Hugging Face audio folder, AudioCaps, MusicCaps or Clotho."
        ),
    ] = None,
    evaluator: Annotated[
        list[str],
        typer.Option(
            show_default=False,
            help="Evaluator: a judge, builtin, clap:NAME, encodec:NAME, or a folder that bench evaluators train wrote; "
            "repeatable. Default: builtin, the attribute tagger, and the judges.",
        ),
    ] = [],  # noqa: B006
    judges: Annotated[
        str,
        typer.Option(
            show_default=False,
            help="Judges besides the evaluators, with commas. Default: musicnn,logmel, or none with --evaluator.",
        ),
    ] = "",
    n: Annotated[
        int,
        typer.Option("--n", min=0, show_default=False, help="Number of clips to score from each folder. Default: all."),
    ] = 0,
    unpaired: Annotated[bool, typer.Option("--unpaired", help="Files with the same name are no pairs.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file that cannot be scored or is truncated.")
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=0, show_default=False, help="Worker processes; scores do not depend on it. Default: one per core."
        ),
    ] = 0,
    results: ReadResults = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file to write scores and settings to.")] = None,
    as_json: Json = False,
) -> None:
    """Score a folder of generated clips against real ones.

    Prints every score with its interval. Scores are comparable only at equal n, evaluator and settings. A file that
    cannot be read is left out with its pair, and named, and so is whatever makes the two sets differ. Outputs of
    evaluators are cached by the content of the files, so a second run is fast.

    \b
    Examples:
      bench score --reference real/ --generated mine/
      bench score --reference real/ --generated mine/ --captions mine/captions.csv --strict -o scores.json
      bench score --reference real/ --generated mine/ --judges musicnn,aisfx --n 256
      bench score --reference real/ --generated mine/ --evaluator clap:music
    """
    from ..evaluators.folders.score import ScoreRequest, score_folders

    if n == 1:
        raise UserError("--n 1: a score of a set needs 2 clips or more; give 2 or more, or 0 for all")
    if out is not None:
        check_writable(out, "file")
    validated = OWN if results is None else check_folder(results, "--results", "the folder that holds the validations")
    request = ScoreRequest(
        reference, generated, evaluators_asked(evaluator, judges), captions, strict, n, jobs or os.cpu_count() or 1,
        not unpaired,
    )  # fmt: skip
    found = score_folders(request, _reporter())
    found = dataclasses.replace(found, notes=[*found.notes, *validation_notes(found, validated)])
    if out is not None:
        write_json(out, _data(found))
    print(scores_text(found, as_json))


def evaluators_asked(evaluators: list[str], judges: str) -> tuple[str, ...]:
    """The evaluators that ``--evaluator`` and ``--judges`` name, each once.

    Raises:
        UserError: no name in ``judges``, or a tagger among them.
    """
    from ..evaluators.folders.score import DEFAULT_JUDGES, DEFAULT_TAGGER
    from ..metrics.catalogue import TAGGERS

    named = [name.strip() for name in judges.split(",") if name.strip()]
    if judges and not named:
        raise UserError(
            f"--judges {judges!r}: no name in it; give names with commas, such as {','.join(DEFAULT_JUDGES)}"
        )
    for name in named:
        if name.partition(":")[0] in TAGGERS or Path(name).is_dir():  # folders hold trained taggers
            raise UserError(f"--judges {name}: an attribute tagger, which is no judge; give --evaluator {name}")
    default = () if evaluators else DEFAULT_JUDGES
    return tuple(dict.fromkeys([*(evaluators or [DEFAULT_TAGGER]), *(named or default)]))


def validation_notes(found: FolderScores, results: Path = OWN) -> list[str]:
    """Lines on what the scores of each judge were validated on, which is never the audio of a folder.

    Args:
        results: folder whose validations count besides those that come with the suite.
    """
    from ..analysis.validation import FOLDER, PACKAGED, load_validations
    from ..study.cells import Identity

    held = [*load_validations(results / FOLDER), *load_validations(PACKAGED)]
    judges_of: dict[str, list[str]] = defaultdict(list)
    for name, about in found.policy["evaluators"].items():
        identity = Identity(name, about["evaluator_identity"])
        settings = {f"{v.corpus.name} ({v.seconds:g} s, {v.sample_rate:,} Hz)" for v in held if v.holds(identity)}
        judges_of["; ".join(sorted(settings))].append(name)
    return [
        f"not validated on this audio: {', '.join(names)}; validated on {corpora or 'no corpus'}. For a verdict, make "
        "a corpus of the reference and run bench validate-metrics --corpus FOLDER"
        for corpora, names in judges_of.items()
    ]


def scores_text(found: FolderScores, as_json: bool = False) -> str:
    """The table of scores, the settings behind it, and the notes; as JSON, the content of the file of ``--out``."""
    from ..analysis.metric_validity import FAD_CLIPS
    from ..metrics.catalogue import FIDELITY_FAMILIES, family, is_fidelity
    from ..report.scores import ARROWS, figure

    if as_json:
        return json_text(_data(found)).rstrip()
    roles = {name: one["role"] for name, one in found.policy["evaluators"].items()}
    judged = "judge" in roles.values()

    def shown(name: str) -> bool:
        return not judged or family(name) not in FIDELITY_FAMILIES or is_fidelity(name)

    metrics = {name: m for name, m in found.metrics.items() if shown(name)}
    rows = [[name + ARROWS[m.better], figure(m), str(m.n)] for name, m in metrics.items()]
    lines = [table(["metric", "score [95%]", "n"], rows), *_basis(found.policy)]
    missing: dict[str, list[str]] = defaultdict(list)
    for name, why in found.policy["not_scored"].items():
        missing[why] += [name] if shown(name) else []
    lines += [f"not scored: {', '.join(names)}: {why}" for why, names in missing.items() if names]
    if any(family(name) == "fad" and m.n < FAD_CLIPS for name, m in metrics.items()):
        lines.append(
            f"fad of fewer than {count(FAD_CLIPS, 'clip')} is mostly bias, which falls with n; kad is unbiased"
        )
    if len(metrics) < len(found.metrics):
        taggers = ", ".join(name for name, role in roles.items() if role == "tagger")
        lines.append(f"{taggers} is an attribute tagger: its distances measure no fidelity, and are in --json only")
    return "\n".join([*lines, *found.notes])


def _basis(about: dict[str, Any]) -> list[str]:
    """The evaluators and the sets behind the scores, a line each."""
    panel = [
        f"{one['role']} {name}: {one['evaluator_checkpoint']} (identity {one['evaluator_identity']})"
        for name, one in about["evaluators"].items()
    ]
    rates = " and ".join("/".join(map(str, about[f"sample_rates_{kind}"])) for kind in ("reference", "generated"))
    silent = about["silent_clips_reference"] + about["silent_clips_generated"]
    sets = (
        f"{about['n_reference']} reference and {count(about['n_generated'], 'generated clip')}, "
        f"{'paired by name' if about['paired_by_name'] else 'not paired'}; files at {rates} Hz, "
        f"{about['policy']['channels']}, peak {about['policy']['peak_dbfs']:g} dBFS; {silent} silent"
    )
    return [*panel, sets]


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
