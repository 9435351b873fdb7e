"""``bench validate-metrics``: what every metric makes of known degradations of real audio."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ...common.files import json_text
from .options import Corpus, Json, Publish, Settings, WriteResults, command_line


def validate_metrics(
    study: Annotated[
        str, typer.Argument(help="The study whose corpus, clip length and evaluators are used, or a YAML file.")
    ] = "quickstart",
    corpus: Corpus = "",
    n: Annotated[
        int | None,
        typer.Option("--n", min=8, show_default=False, help="Clips to degrade. Default: 128, or what the corpus has."),
    ] = None,
    judges: Annotated[
        list[str], typer.Option("--judges", help="A judge to validate, repeatable. Default: the study's.")
    ] = [],  # noqa: B006 (typer copies it)
    settings: Settings = [],  # noqa: B006
    results: WriteResults = None,
    publish: Publish = False,
    as_json: Json = False,
) -> None:
    """Measure which damage each metric notices.

    Real clips of the study's evaluation split are degraded step by step: noise, low-pass, clipping, dropouts and more.
    Every metric of the tagger and of all judges scores every step. A metric that does not order the steps that damage
    audio gives no verdict on this corpus, and the effect of 30 dB noise is the margin below which a difference counts
    as none. The result goes to RESULTS/validations/, where reports, bench compare and bench claims find it. A second
    call goes on after the last finished step. The clips are those of every score; no other part of the test split is
    read.

    \b
    Examples:
      bench validate-metrics
      bench validate-metrics small_cpu --n 256
      bench validate-metrics quickstart --corpus my/folder --judges musicnn --judges aisfx
    """
    from ..analysis.locations import to_write
    from ..analysis.validation import read_validation
    from ..axes.validate import validate
    from ..report.validation import as_data, summary, write_pages
    from ..study.load import load_study, with_corpus

    folder = to_write(results, publish)
    chosen = load_study(study, [*settings, *([f"evaluation.judges={json.dumps(judges)}"] if judges else [])])
    file = validate(with_corpus(chosen, corpus) if corpus else chosen, n, folder, command_line())
    found = read_validation(file)
    pages = write_pages(found, file)
    if as_json:
        return print(json_text({"file": str(file), "metrics": as_data(found)}).rstrip())
    print("\n\n".join([summary(found).plain(), f"Validation: {file}\nPage: {pages[0]}\nFigure: {pages[1]}"]))
