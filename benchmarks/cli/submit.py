"""``bench submit`` and ``bench resume``: measure the cells of a study as one job array."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.console import duration
from ...common.lines import count, say
from . import options as shared

if TYPE_CHECKING:
    from ...common.needs import Need
    from ...slurm.site import Site
    from ...slurm.submit import Order, ToDo

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
SITE_OPTIONS = (
    "array_parallelism", "time", "partition", "account", "qos", "gpus", "cpus", "mem", "max_num_timeout",
)  # fmt: skip


def submit(
    study: shared.StudyName,
    cluster: Cluster = "slurm",
    paradigm: shared.Paradigms = [],  # noqa: B006
    axis: shared.AxisName = "",
    corpus: shared.Corpus = "",
    seed: shared.Seeds = [],  # noqa: B006
    updates: shared.Updates = None,
    settings: shared.Settings = [],  # noqa: B006
    sweep: shared.Sweeps = [],  # noqa: B006
    scale: shared.Scale = "",
    timeout: shared.Timeout = 0.0,
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
    results: shared.WriteResults = None,
    publish: shared.Publish = False,
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
    options = dict(locals())
    from ...slurm.site import load_site
    from ...slurm.submit import Order, check_cluster, check_slurm
    from ..run.estimate.dry_run import listed
    from ..study.axis import find_axis
    from ..study.sweep import expand

    check_cluster(cluster, options)
    settled = load_site(site, profile, _site_options(options))
    if cluster == "slurm" and not dry_run:
        check_slurm()
    asked = shared.asked(options)
    chosen = asked.study
    cells, needs = listed(chosen) if dry_run else (expand(chosen), [])
    order = Order(
        chosen.name, chosen.axis, cells, asked.results, work, cluster, settled,
        exclusive=find_axis(chosen.axis).exclusive, timeout_s=asked.timeout_s, command=shared.command_line(),
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
    given = _site_options(locals())
    from ...slurm.manifest import cells_of, submissions
    from ...slurm.site import load_site
    from ...slurm.submit import Order, check_cluster, check_slurm

    sent = submissions(work, study)
    last = sent[-1].manifest
    check_cluster(last.cluster, given)
    if last.cluster == "slurm" and not dry_run:
        check_slurm()
    fresh = site is not None or profile
    settled = load_site(site, profile or "default", given) if fresh else dataclasses.replace(last.site, **given)
    order = Order(
        last.study, last.axis, cells_of(sent), Path(last.results), work, last.cluster, settled,
        exclusive=last.exclusive, timeout_s=last.timeout_s, command=shared.command_line(),
    )  # fmt: skip
    return _place(order, dry_run, [])


def _site_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The site settings among the options, those that were given."""
    return {name: options[name] for name in SITE_OPTIONS if options[name] is not None}


def _place(order: Order, dry_run: bool, needs: Sequence[Need]) -> int:
    """Print the plan of ``order`` and, unless it is a dry run, submit it.

    Args:
        needs: what has to be trained before submitting; a dry run lists it.
    """
    from ...slurm import submit as sending

    on_slurm = order.cluster == "slurm"
    todo = sending.to_do(order)
    elements = len(sending.packed(todo.groups, order.site.max_array if on_slurm else 1))
    for need in needs:
        print(f"before submitting: {need.name} is trained, about {duration(need.seconds)}")
    _print_plan(order, todo, elements)
    if dry_run:
        print("\n".join(sending.directives(order, elements) if on_slurm and elements else []))
        return 0
    submission = sending.submit(order)
    if submission is None:
        print("Nothing to submit.")
        return 0
    where = "" if order.work == Path("runs") else f" --work {order.work}"
    job = submission.manifest.job_id
    named = {"slurm": f"array {job}", "local": f"process {job}", "debug": "done, here"}
    print(f"Submitted: {named[order.cluster]}. How far it is: bench status {order.study}{where}")
    return 0


def _print_plan(order: Order, todo: ToDo, elements: int) -> None:
    from ..study.axis import find_axis

    estimates, basis = find_axis(order.axis).estimate(order.cells, order.results.parent)
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
    most = order.site.time * 60 * (order.site.max_num_timeout + 1)
    longest = max((sum(estimates[cell.id].seconds or 0.0 for cell in group) for group in todo.groups), default=0.0)
    if order.cluster == "slurm" and longest > most:
        say(
            f"warning: the longest group needs about {duration(longest)}, its time limits end it after "
            f"{duration(most)}; raise --time or --max-num-timeout"
        )


def _asked(site: Site, cluster: str) -> str:
    if cluster != "slurm":
        return f"cluster {cluster}: workers of this machine"
    cpus, gpus = count(site.cpus, "CPU"), count(site.gpus, "GPU")
    place = f"partition {site.partition or 'default'}, account {site.account or 'default'}"
    return f"{place}; per element {cpus}, {gpus}, {site.mem:g} GB, {site.time} min"
