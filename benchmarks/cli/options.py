"""Options that several commands share, and the study that they describe.

``paradigm``, ``axis``, ``corpus``, ``seed``, ``updates``, ``settings``, ``sweep`` and ``scale`` change the study that
``study`` names; ``study_of_options`` reads them by these names.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.errors import UserError
from ...common.gpus import check_device, use_device
from ..analysis.locations import check_writable, to_write

if TYPE_CHECKING:
    from ..study.study import Study

StudyName = Annotated[str, typer.Argument(help="A packaged study (see `bench list`) or a YAML file.")]
Paradigms = Annotated[
    list[str],
    typer.Option(
        "--paradigm",
        "-p",
        help="Only this arm, or a paradigm with its defaults; repeatable. Default: all arms of the study.",
    ),
]
AxisName = Annotated[str, typer.Option("--axis", help="What to measure. Default: the study's axis.")]
Corpus = Annotated[
    str,
    typer.Option(
        "--corpus",
        help="Folder with a manifest to use instead of the study's corpus; results go to <study>-<folder>.",
    ),
]
Seeds = Annotated[list[int], typer.Option("--seed", min=0, help="Study seed; repeatable. Default: the study's.")]
Updates = Annotated[
    int | None,
    typer.Option(
        min=1, help="Training updates of every arm; warm-up, snapshots and checkpoints scale. Default: the study's."
    ),
]
Settings = Annotated[list[str], typer.Option("--set", help="Any study key, e.g. train.lr=1e-3; repeatable.")]
Sweeps = Annotated[
    list[str], typer.Option("--sweep", help="Measure at each value, e.g. train.batch=1,8,64; repeatable.")
]
Scale = Annotated[str, typer.Option("--scale", help="Backbone preset, e.g. tiny, 193m, 400m. Default: the study's.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0,
        show_default=False,
        help="Minutes that one worker may take. Default: the study's, or no limit.",
    ),
]
SamplerSettings = Annotated[list[str], typer.Option("--set", help="Any sampler setting, e.g. steps=50; repeatable.")]
Checkpoint = Annotated[Path, typer.Option(help="Model folder that bench train wrote, e.g. runs/fm-.../final.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
ReadResults = Annotated[
    Path | None,
    typer.Option(
        "--results", help="Results folder to read. Default: my_results if it holds records, else the published results."
    ),
]
WriteResults = Annotated[
    Path | None, typer.Option("--results", help="Results folder to write to. Default: my_results.")
]
Publish = Annotated[
    bool, typer.Option("--publish", help="Write to results/, the folder that this repository publishes.")
]

SHORTCUTS = {  # options that stand for a study key
    "device": "latency.device", "dtype": "latency.dtype", "threads": "latency.threads", "peers": "latency.peers",
    "compile_": "latency.compile", "scale": "backbone.preset",
}  # fmt: skip


def command_line() -> str:
    """The command line of this process, for records."""
    return shlex.join(["bench", *sys.argv[1:]])


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a command is to measure: the study, its results folder, and the seconds that one worker may take."""

    study: Study
    results: Path
    timeout_s: float | None


def asked(options: Mapping[str, Any]) -> Asked:
    """What the options of ``bench run`` and ``bench submit`` ask for; checks that their folders can be written.

    Raises:
        UserError: a folder that cannot be written; see ``study_of_options``.
    """
    folder = to_write(options["results"], options["publish"])
    check_writable(options["work"], "folder", "--work")
    study = study_of_options(options)
    minutes = options["timeout"] or study.timeout
    return Asked(study, folder / study.name, minutes * 60 if minutes > 0 else None)


def study_of_options(options: Mapping[str, Any]) -> Study:
    """The study that the options of a command describe.

    An option ``device`` also applies to this process and its workers, unless the axis has a setting for it.

    Args:
        options: name of the option -> its value; options that the command does not have count as not given.

    Raises:
        UserError: an unknown study, axis or device, or an option that has no effect on the study's axis.
    """
    from ..study.axis import DEFAULT_AXIS, find_axis, settings_classes
    from ..study.load import load_study, with_corpus

    device = options.get("device") or "auto"
    check_device(device)
    given = {key: options[name] for name, key in SHORTCUTS.items() if options.get(name)}
    if "backbone.preset" in given:
        given["backbone.preset"] = given["backbone.preset"].lower()
    settings = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    if seeds := options.get("seed"):
        settings.insert(0, f"seeds={list(seeds)}")
    name, axis = options.get("study") or "", options.get("axis") or ""
    default = find_axis(axis or DEFAULT_AXIS).default_study if axis or not name else ""
    if not (name or default):
        raise UserError(f"axis {axis!r} has no default study; name one, as in bench run STUDY --axis {axis}")
    study = load_study(
        name or default, [*settings, *options.get("settings", ())], options.get("paradigm", ()),
        options.get("sweep", ()), options.get("updates"),
    )  # fmt: skip
    if axis and study.axis != axis:
        raise UserError(f"study {study.name} measures {study.axis}, not {axis}; leave out --axis, or run {default}")
    own = find_axis(study.axis)
    for section, _, option in (key.partition(".") for key in given):
        of_axis = section in settings_classes() and option != "device"
        if of_axis and (own.settings is None or section != own.settings.key):
            raise UserError(f"--{option} has no effect on axis {study.axis}; leave it out, or give --axis {section}")
    if options.get("corpus"):
        study = with_corpus(study, options["corpus"])
    if not own.chooses_device:
        use_device(device)
    return dataclasses.replace(study, jobs=max(1, study.jobs))
