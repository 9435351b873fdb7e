"""``bench submit`` and ``bench resume``: measure the cells of a study as one job array."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Publish, Updates, WriteResults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...common.needs import Need
    from ...slurm.site import Site
    from ...slurm.submit import Order, ToDo
    from ..study.cells import Cell

Cluster = Annotated[str, typer.Option(help="slurm; local: in the background of this machine; debug: in this terminal.")]
SiteFile = Annotated[Path | None, typer.Option("--site", help="YAML file of site profiles. Default: slurm/site.yaml.")]
Profile = Annotated[str, typer.Option(help="Profile of the site file, e.g. default, a100, h100.")]
Parallelism = Annotated[
    int | None, typer.Option("--array-parallelism", min=1, help="Elements (local: worker processes) at a time.")
]
Minutes = Annotated[
    int | None,
    typer.Option("--time", min=1, help="Minutes per array element; then it saves a checkpoint and is queued again."),
]
Partition = Annotated[str | None, typer.Option(help="Partition, as `sinfo` lists it.")]
Account = Annotated[str | None, typer.Option(help="Account to charge.")]
Qos = Annotated[str | None, typer.Option(help="Quality of service.")]
Gpus = Annotated[int | None, typer.Option(min=0, help="GPUs per element.")]
Cpus = Annotated[int | None, typer.Option(min=1, help="CPU cores per element.")]
Memory = Annotated[float | None, typer.Option("--mem", min=0, help="GB per element.")]
Timeouts = Annotated[
    int | None, typer.Option("--max-num-timeout", min=0, help="How often an element over its time is queued again.")
]
Work = Annotated[
    Path, typer.Option(help="Folder for checkpoints and submissions, on a file system that all nodes share.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and the #SBATCH lines, and stop; needs no cluster.")
]


def submit(
    study: Annotated[str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file.")],
    cluster: Cluster = "slurm",
    paradigm: Annotated[
        list[str], typer.Option("--paradigm", "-p", help="Only this arm, or a paradigm with its defaults; repeatable.")
    ] = [],  # noqa: B006
    axis: Annotated[str, typer.Option(help="What to measure. Default: the study's axis.")] = "",
    corpus: Annotated[str, typer.Option(help="Folder with a manifest to use instead of the study's corpus.")] = "",
    seed: Annotated[list[int], typer.Option(min=0, help="Study seed; repeatable. Default: the study's.")] = [],  # noqa: B006
    updates: Updates = None,
    settings: Annotated[list[str], typer.Option("--set", help="Any study key, e.g. train.lr=1e-3; repeatable.")] = [],  # noqa: B006
    sweep: Annotated[list[str], typer.Option(help="Measure at each value, e.g. train.batch=8,64; repeatable.")] = [],  # noqa: B006
    scale: Annotated[str, typer.Option(help="Backbone preset, e.g. tiny, 193m, 400m. Default: the study's.")] = "",
    timeout: Annotated[
        float, typer.Option(min=0, show_default=False, help="Minutes that one worker may take. Default: the study's.")
    ] = 0.0,
    site: SiteFile = None,
    profile: Profile = "default",
    array_parallelism: Parallelism = None,
    time: Minutes = None,
    partition: Partition = None,
    account: Account = None,
    qos: Qos = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    mem: Memory = None,
    max_num_timeout: Timeouts = None,
    results: WriteResults = None,
    publish: Publish = False,
    work: Work = Path("runs"),
    dry_run: DryRun = False,
) -> int:
    """Submit a study as one job array.

    Cells that are already measured, queued or running are left out.

    \b
    Examples:
      bench submit small_cpu --dry-run                    the plan: cells, elements, time, #SBATCH lines
      bench submit small_cpu --profile a100 --account my-project
      bench submit STUDY.yaml --cluster local --array-parallelism 2
      bench status small_cpu                              then: how far it is; bench resume, bench cancel
    """
    from ...slurm.site import load_site
    from ...slurm.submit import Order, check_cluster, check_slurm
    from ..analysis.locations import check_out, to_write
    from ..run.estimate.listing import listed
    from ..study.axis import AXES
    from ..study.sweep import expand
    from .run import chosen_study

    options = _given(
        array_parallelism=array_parallelism, time=time, partition=partition, account=account, qos=qos, gpus=gpus,
        cpus=cpus, mem=mem, max_num_timeout=max_num_timeout,
    )  # fmt: skip
    check_cluster(cluster, options)
    settled = load_site(site, profile, options)
    if cluster == "slurm" and not dry_run:
        check_slurm()
    folder = to_write(results, publish)
    check_out(work, "folder", "--work")
    shortcuts = {"backbone.preset": scale.lower()}
    chosen = chosen_study(study, axis, corpus, seed, updates, settings, paradigm, sweep, shortcuts)
    minutes = timeout or chosen.timeout
    cells, needs = listed(chosen) if dry_run else (expand(chosen), [])
    order = Order(
        chosen.name, chosen.axis, cells, folder / chosen.name, work, cluster, settled,
        exclusive=AXES.load(chosen.axis)().exclusive, timeout_s=minutes * 60 if minutes > 0 else None,
        command=shlex.join(["bench", *sys.argv[1:]]),
    )  # fmt: skip
    return _place(order, dry_run, needs)


def resume(
    study: Annotated[str, typer.Argument(help="A study that was submitted: its name or its file.")],
    site: SiteFile = None,
    profile: Annotated[str, typer.Option(help="Profile of the site file. Default: as submitted last.")] = "",
    array_parallelism: Parallelism = None,
    time: Minutes = None,
    partition: Partition = None,
    account: Account = None,
    qos: Qos = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    mem: Memory = None,
    max_num_timeout: Timeouts = None,
    work: Work = Path("runs"),
    dry_run: DryRun = False,
) -> int:
    """Submit the unfinished cells of a study again.

    These are the cells that are not measured, queued or running. Training continues from its checkpoint.

    \b
    Examples:
      bench resume small_cpu
      bench resume small_cpu --time 480 --mem 32          with more time and memory
    """
    import dataclasses

    from ...slurm.manifest import cells_of, submissions
    from ...slurm.site import load_site
    from ...slurm.submit import Order, check_cluster, check_slurm

    options = _given(
        array_parallelism=array_parallelism, time=time, partition=partition, account=account, qos=qos, gpus=gpus,
        cpus=cpus, mem=mem, max_num_timeout=max_num_timeout,
    )  # fmt: skip
    sent = submissions(work, study)
    last = sent[-1].manifest
    check_cluster(last.cluster, options)
    if last.cluster == "slurm" and not dry_run:
        check_slurm()
    fresh = site is not None or profile
    settled = load_site(site, profile or "default", options) if fresh else dataclasses.replace(last.site, **options)
    order = Order(
        last.study, last.axis, cells_of(sent), Path(last.results), work, last.cluster, settled,
        exclusive=last.exclusive, timeout_s=last.timeout_s, command=shlex.join(["bench", *sys.argv[1:]]),
    )  # fmt: skip
    return _place(order, dry_run, [])


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _place(order: Order, dry_run: bool, needs: Sequence[Need]) -> int:
    """Print the plan; unless it is a dry run, submit.

    Args:
        needs: what would have to be trained before submitting; a dry run lists it.
    """
    from ...common.console import duration
    from ...slurm.submit import directives, packed, to_do
    from ...slurm.submit import submit as send

    todo = to_do(order)
    elements = len(packed(todo.groups, order.site.max_array if order.cluster == "slurm" else 1))
    for need in needs:
        print(f"before submitting: {need.name} is trained, about {duration(need.seconds)}")
    _print_plan(order, todo, elements)
    if dry_run:
        print("\n".join(directives(order, elements) if order.cluster == "slurm" and elements else []))
        return 0
    submission = send(order)
    if submission is None:
        print("Nothing to submit.")
        return 0
    where = "" if order.work == Path("runs") else f" --work {order.work}"
    manifest = submission.manifest
    named = {"slurm": f"array {manifest.job_id}", "local": f"process {manifest.job_id}", "debug": "done, here"}
    print(f"Submitted: {named[order.cluster]}. How far it is: bench status {order.study}{where}")
    return 0


def _print_plan(order: Order, todo: ToDo, elements: int) -> None:
    from ...common.console import duration
    from ...common.lines import count, say
    from ..study.axis import AXES

    estimates, basis = AXES.load(order.axis)().estimate(order.cells, order.results.parent)
    seconds = [estimates[cell.id].seconds for cell in todo.pending]
    known = [value for value in seconds if value is not None]
    left = len(seconds) - len(known)
    unknown = f", {count(left, 'cell')} of unknown length" if left else ""
    print(
        f"study {order.study} ({order.axis}): {count(len(order.cells), 'cell')}, {len(todo.done)} done, "
        f"{len(todo.open)} queued or running, {len(todo.pending)} to submit as {count(elements, 'array element')}"
    )
    print(f"{_asked(order.site, order.cluster)}; up to {order.site.array_parallelism} at a time")
    gpu = f", {sum(known) * order.site.gpus / 3600:.2g} GPU hours" if order.site.gpus else ""
    print(f"about {duration(sum(known))} of worker time{gpu}{unknown}. {basis}")
    for problem in todo.problems:
        say(f"left out: {problem}")
    _warn_of_long_groups(order, todo.groups, {cell: estimates[cell].seconds for cell in estimates})


def _asked(site: Site, cluster: str) -> str:
    if cluster != "slurm":
        return f"cluster {cluster}: workers of this machine"
    from ...common.lines import count

    cpus, gpus = count(site.cpus, "CPU"), count(site.gpus, "GPU")
    place = f"partition {site.partition or 'default'}, account {site.account or 'default'}"
    return f"{place}; per element {cpus}, {gpus}, {site.mem:g} GB, {site.time} min"


def _warn_of_long_groups(order: Order, groups: Sequence[Sequence[Cell]], seconds: dict[str, float | None]) -> None:
    from ...common.console import duration
    from ...common.lines import say

    most = order.site.time * 60 * (order.site.max_num_timeout + 1)
    longest = max((sum(seconds[cell.id] or 0.0 for cell in group) for group in groups), default=0.0)
    if order.cluster == "slurm" and longest > most:
        say(
            f"warning: the longest group needs about {duration(longest)}, its time limits end it after "
            f"{duration(most)}; raise --time or --max-num-timeout"
        )
