"""``bench tune-arms``: search settings of a study's arms with the same effort for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.console import duration, shown
from ...common.lines import count, said_if_slow, say
from ...common.locks import held_alone
from ..analysis.locations import check_writable, to_write
from . import options as shared

if TYPE_CHECKING:
    from ..run.tuning.search import Search

TUNED, PAGE = "tuned.yaml", "tuning.md"


def tune_arms(
    study: shared.StudyName,
    paradigm: shared.Paradigms = [],  # noqa: B006
    corpus: shared.Corpus = "",
    updates: shared.Updates = None,
    settings: shared.Settings = [],  # noqa: B006
    jobs: Annotated[
        int, typer.Option(min=0, show_default=False, help="Worker processes at a time. Default: as for bench run.")
    ] = 0,
    timeout: shared.Timeout = 0.0,
    results: shared.WriteResults = None,
    publish: shared.Publish = False,
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and the records of trials.")] = Path("runs"),
    retry: Annotated[
        bool, typer.Option("--retry", help="Run trials that ended without a score again, such as those out of memory.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: list the trials with estimated time, and stop.")
    ] = False,
) -> int:
    """Search settings of all arms with equal effort.

    The study's section `tuning` lists the values of learning rate, optimiser, guidance and one further setting of each
    arm, the score and the share of the budget. Trials answer prompts of the validation split; the test split is not
    read. Writes tuning.md, tuning.csv and tuned.yaml into the results folder; `--set tuned=FILE`, or the study's key
    `tuned`, gives the arms the chosen settings. Trials that have ended are not run again.

    \b
    Examples:
      bench tune-arms small_cpu --dry-run
      bench tune-arms small_cpu --set tuning.share=0.25 --set tuning.trainings=8
      bench run small_cpu --set tuned=my_results/small_cpu/tuned.yaml
    """
    from ..run.tuning.search import Search

    options = {**locals(), "seed": []}
    folder = to_write(results, publish)
    check_writable(work, "folder", "--work")
    asked = shared.study_of_options({key: value for key, value in options.items() if key not in ("results", "publish")})
    with said_if_slow(f"study {asked.name}: reading its corpus and evaluator ..."):
        search = Search.of(asked, work)
    if dry_run:
        _print_trials(search, folder)
        return 0
    minutes, command = timeout or asked.timeout, shared.command_line()
    with held_alone(search.folder, command):
        found = search.run(jobs, command, minutes * 60 if minutes > 0 else None, retry)
    from ..report.tuning_page import write_tuning_page
    from ..study.chosen import write_chosen

    home = folder / asked.name
    print(write_tuning_page(found, home, command))
    if found.settings:
        write_chosen(home / TUNED, command, PAGE, found.effort, found.settings)
        print(f"Page: {home / PAGE}\nSettings: {home / TUNED}; bench run {study} --set tuned={home / TUNED}")
    if none := [arm for arm in found.results if found.chosen(arm) is None]:
        why = found.results[none[0]][0].reason
        say(f"bench: no trial of {', '.join(none)} has a score, so nothing is chosen there; {none[0]}: {why}")
    return int(bool(none))


def _print_trials(search: Search, results: Path) -> None:
    """Print the trials with the state of each, and the time that is left by earlier records."""
    from ..analysis.records import latest, load_records
    from ..run.tuning.trials import AXIS
    from ..study.axis import find_axis

    held = latest(load_records(search.folder)[0])
    rows: list[list[Any]] = []
    for arm, own in search.trials.items():
        for trial, cells in own:
            states = dict.fromkeys(held[cell.id].status if cell.id in held else "to do" for cell in cells)
            rows.append([arm, trial.training, *_texts(trial.values), ", ".join(states)])
    header = ["arm", "training", *(key.rpartition(".")[2] for key in search.study.tuning.all), "own", "state"]
    print(shown(header, rows, False))
    left = [cell for cell in search.cells if cell.id not in held]
    estimates, basis = find_axis(AXIS).estimate(left, results)
    known = [estimates[cell.id].seconds or 0.0 for cell in left]
    print(
        f"\n{count(len(search.cells), 'cell')}, {count(len(left), 'cell')} to measure"
        f"{f', about {duration(sum(known))} of worker time' if any(known) else ''}. {basis}"
    )


def _texts(values: dict[str, Any]) -> list[str]:
    """The values of what all arms search in order, and that of the arm's own setting with its name."""
    *common, (key, own) = values.items()
    return [*(str(value) for _, value in common), f"{key.partition('.')[2]} {own}"]
