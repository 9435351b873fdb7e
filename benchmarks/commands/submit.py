"""``bench submit`` and ``bench resume``: measure the cells of a study as one job array."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.cells import Cell
    from slurm.site import Site
    from slurm.submit import Order, ToDo

Cluster = Annotated[str, typer.Option(help="slurm; local: this machine, in the background; debug: here and now.")]
SiteFile = Annotated[Path | None, typer.Option("--site", help="YAML file of site profiles. Default: slurm/site.yaml.")]
Profile = Annotated[str, typer.Option(help="Profile of the site file, e.g. default, a100, h100.")]
Parallelism = Annotated[
    int | None, typer.Option("--array-parallelism", help="Elements (local: worker processes) at a time.")
]
Minutes = Annotated[int | None, typer.Option("--time", help="Minutes per element; it then saves and is queued again.")]
Partition = Annotated[str | None, typer.Option(help="As `sinfo` calls it.")]
Account = Annotated[str | None, typer.Option(help="To charge.")]
Qos = Annotated[str | None, typer.Option(help="Quality of service.")]
Gpus = Annotated[int | None, typer.Option(help="Per element.")]
Cpus = Annotated[int | None, typer.Option(help="Per element.")]
Memory = Annotated[float | None, typer.Option("--mem", help="GB per element.")]
Timeouts = Annotated[
    int | None, typer.Option("--max-num-timeout", help="How often an element over its time is queued again.")
]
Results = Annotated[Path, typer.Option(help="Where records, figures and audio go.")]
Work = Annotated[Path, typer.Option(help="Where checkpoints and submissions go; shared by all nodes.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]


def submit(
    study: Annotated[str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file.")],
    cluster: Cluster = "slurm",
    paradigm: Annotated[list[str], typer.Option("--paradigm", "-p", help="Only this arm; repeatable.")] = [],  # noqa: B006
    axis: Annotated[str, typer.Option(help="What to measure. Default: the study's axis.")] = "",
    corpus: Annotated[str, typer.Option(help="Folder with a manifest to use instead of the study's corpus.")] = "",
    seed: Annotated[list[int], typer.Option(help="Study seed; repeatable. Default: the study's.")] = [],  # noqa: B006
    updates: Annotated[int, typer.Option(help="Training updates of every arm. Default: the study's.")] = 0,
    settings: Annotated[list[str], typer.Option("--set", help="Any study key, e.g. train.lr=1e-3; repeatable.")] = [],  # noqa: B006
    sweep: Annotated[list[str], typer.Option(help="Measure at each value, e.g. train.batch=8,64; repeatable.")] = [],  # noqa: B006
    scale: Annotated[str, typer.Option(help="Backbone preset, e.g. tiny, 193m, 400m. Default: the study's.")] = "",
    timeout: Annotated[float, typer.Option(help="Minutes that one worker may take. Default: the study's.")] = 0.0,
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
    results: Results = Path("results"),
    work: Work = Path("runs"),
    dry_run: DryRun = False,
) -> int:
    """Submit every cell of a study that has no good record, and is not on its way, as one job array.

    \b
    Examples:
      bench submit small_cpu --dry-run                    the plan: cells, elements, estimated time
      bench submit small_cpu --profile a100 --account my-project
      bench submit STUDY.yaml --cluster local --array-parallelism 2
      bench status small_cpu                              then: how far it is; bench resume, bench cancel
    """
    from benchmarks.axes import AXES
    from benchmarks.commands.run import chosen_study
    from benchmarks.sweep import expand
    from slurm.site import load_site
    from slurm.submit import Order, check_cluster

    options = _given(
        array_parallelism=array_parallelism, time=time, partition=partition, account=account, qos=qos, gpus=gpus,
        cpus=cpus, mem=mem, max_num_timeout=max_num_timeout,
    )  # fmt: skip
    check_cluster(cluster, options)
    settled = load_site(site, profile, options)
    shortcuts = {"backbone.preset": scale.lower()}
    chosen = chosen_study(study, axis, corpus, seed, updates, settings, paradigm, sweep, shortcuts)
    minutes = timeout if timeout > 0 else chosen.timeout
    order = Order(
        chosen.name, chosen.axis, expand(chosen), results / chosen.name, work, cluster, settled,
        exclusive=AXES.load(chosen.axis)().exclusive, timeout_s=minutes * 60 if minutes > 0 else None,
        command=shlex.join(["bench", *sys.argv[1:]]),
    )  # fmt: skip
    return _place(order, dry_run)


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
    """Submit again what has no good record and is neither queued nor running; training goes on from its checkpoint.

    \b
    Examples:
      bench resume small_cpu
      bench resume small_cpu --time 480 --mem 32          with more than the last time
    """
    import dataclasses

    from slurm.manifest import cells_of, submissions
    from slurm.site import load_site
    from slurm.submit import Order, check_cluster

    options = _given(
        array_parallelism=array_parallelism, time=time, partition=partition, account=account, qos=qos, gpus=gpus,
        cpus=cpus, mem=mem, max_num_timeout=max_num_timeout,
    )  # fmt: skip
    sent = submissions(work, study)
    last = sent[-1].manifest
    check_cluster(last.cluster, options)
    fresh = site is not None or profile
    settled = load_site(site, profile or "default", options) if fresh else dataclasses.replace(last.site, **options)
    order = Order(
        last.study, last.axis, cells_of(sent), Path(last.results), work, last.cluster, settled,
        exclusive=last.exclusive, timeout_s=last.timeout_s, command=shlex.join(["bench", *sys.argv[1:]]),
    )  # fmt: skip
    return _place(order, dry_run)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _place(order: Order, dry_run: bool) -> int:
    """Print the plan, and submit unless it is dry."""
    from slurm.submit import submit as send
    from slurm.submit import to_do

    _print_plan(order, to_do(order))
    if dry_run:
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


def _print_plan(order: Order, todo: ToDo) -> None:
    from benchmarks.axes import AXES
    from benchmarks.console import duration
    from common.lines import say
    from slurm.submit import packed

    estimates, basis = AXES.load(order.axis)().estimate(order.cells, order.results.parent)
    seconds = [estimates[cell.id].seconds for cell in todo.pending]
    known = [value for value in seconds if value is not None]
    unknown = f", {len(seconds) - len(known)} cells of unknown length" if len(known) < len(seconds) else ""
    elements = len(packed(todo.groups, order.site.max_array if order.cluster == "slurm" else 1))
    print(
        f"study {order.study} ({order.axis}): {len(order.cells)} cells, {len(todo.done)} done, "
        f"{len(todo.open)} queued or running, {len(todo.pending)} to submit as {elements} array elements"
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
    place = f"partition {site.partition or 'default'}, account {site.account or 'default'}"
    return f"{place}; per element {site.cpus} CPUs, {site.gpus} GPUs, {site.mem:g} GB, {site.time} min"


def _warn_of_long_groups(order: Order, groups: Sequence[Sequence[Cell]], seconds: dict[str, float | None]) -> None:
    from benchmarks.console import duration
    from common.lines import say

    most = order.site.time * 60 * (order.site.max_num_timeout + 1)
    longest = max((sum(seconds[cell.id] or 0.0 for cell in group) for group in groups), default=0.0)
    if order.cluster == "slurm" and longest > most:
        say(
            f"warning: the longest group needs about {duration(longest)}, its time limits end it after "
            f"{duration(most)}; raise --time or --max-num-timeout"
        )
