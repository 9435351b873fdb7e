"""``bench models``: the number of parameters of each paradigm at each size, or of each arm of a study, part by part."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.console import shown
from ...common.errors import UserError
from .options import Json, Settings, study_of_options

if TYPE_CHECKING:
    from ..run.estimate.arm_sizes import ArmSize
    from ..study.study import Study


def models(
    study: Annotated[str, typer.Argument(help="A study, whose arms are printed instead.", show_default=False)] = "",
    preset: Annotated[list[str], typer.Option(help="Only this size preset; repeatable. Default: all.")] = [],  # noqa: B006
    paradigm: Annotated[
        list[str], typer.Option("--paradigm", "-p", help="Only this paradigm or arm; repeatable. Default: all.")
    ] = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Print parameter counts by preset, or of a study's arms.

    All arms of a comparison share the backbone's shape; they differ in the heads and embeddings of their paradigm. TIME
    is how the backbone reads a time: added to the input, or by AdaLN.
    Without a study the counts are for the built-in codec's latents (dim 32, 4 codebooks of 512) and a vocabulary of 200
    words. With a study they are those of its arms, beside the operations of a training update; OF MEAN is the ratio to
    the mean of all arms, APART says whether an arm's size differs from that of the others by more than 5%.

    \b
    Examples:
      bench models
      bench models --preset 400m --paradigm ar --paradigm fm
      bench models small_cpu
      bench models small_cpu --set backbone.preset=small
    """
    if study and preset:
        raise UserError("--preset has no effect on a study; give --set backbone.preset=NAME instead")
    if settings and not study:
        raise UserError("--set changes a study; name one, as in bench models small_cpu --set KEY=VALUE")
    if study:
        _print_arms(study_of_options({"study": study, "paradigm": paradigm, "settings": settings}), as_json)
    else:
        _print_presets(preset, paradigm, as_json)


def _print_presets(preset: list[str], paradigm: list[str], as_json: bool) -> None:
    import torch

    from ... import paradigms
    from ...backbones import PRESETS
    from ...backbones.config import preset as backbone_preset
    from ...representations.shapes import BUILTIN_LATENT
    from ...representations.text.encoders import TextSpec

    text = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"w{i}" for i in range(200)), max_length=64)
    rows = []
    for size in preset or list(PRESETS):
        for name in paradigm or paradigms.names():
            with torch.device("meta"):
                model = paradigms.build(name, {}, backbone_preset(size), BUILTIN_LATENT, text)
            counts = model.parameter_counts()
            rows.append(([size, name, sum(counts.values())], [model.backbone_config.time], counts))
    header, body = _with_parts(["preset", "paradigm", "total"], ["time"], rows)
    print(shown(header, body, as_json))


def _print_arms(study: Study, as_json: bool) -> None:
    from ..run.estimate.arm_sizes import arm_sizes

    groups: dict[str, list[ArmSize]] = {}
    for size in arm_sizes(study):
        groups.setdefault(size.setting, []).append(size)
    rows = [row for sizes in groups.values() for row in _group_rows(sizes)]
    header = ["arm", "setting", "parameters", "of mean", "apart", "FLOPs per update", "of mean FLOPs"]
    header, body = _with_parts(header, ["time"], rows)
    if len(groups) == 1:
        header, body = [header[0], *header[2:]], [[row[0], *row[2:]] for row in body]
    print(shown(header, body, as_json))
    if not as_json:
        print("\n" + "\n".join(_spread(sizes) for sizes in groups.values()))


def _group_rows(sizes: Sequence[ArmSize]) -> list[tuple[list[Any], list[Any], dict[str, int]]]:
    """The rows of arms that are compared with each other."""
    from ..analysis.costs import unequal

    apart = unequal({size.arm: size.parameters for size in sizes})
    counted = [size.flops_per_update for size in sizes if size.flops_per_update is not None]
    means = statistics.fmean(size.parameters for size in sizes), statistics.fmean(counted or [1.0])
    rows: list[tuple[list[Any], list[Any], dict[str, int]]] = []
    for size in sizes:
        flops: list[Any] = ["", ""]
        if size.flops_per_update is not None:
            flops = [size.flops_per_update, round(size.flops_per_update / means[1], 3)]
        first = [size.arm, size.setting, size.parameters, round(size.parameters / means[0], 3), size.arm in apart]
        rows.append(([*first, *flops], [size.backbone.time], size.parts))
    return rows


def _spread(sizes: Sequence[ArmSize]) -> str:
    """By how much the largest arm exceeds the smallest."""
    from ..analysis.costs import TOLERANCE

    small, large = (pick(sizes, key=lambda size: size.parameters) for pick in (min, max))
    more, where = large.parameters / small.parameters - 1, f" ({large.setting})" if large.setting else ""
    told = f"The largest arm, {large.arm}, has {more:.1%} more trained parameters than the smallest, {small.arm}{where}"
    if more <= TOLERANCE:
        return f"{told}: all arms are of one size."
    return f"{told}: more than {TOLERANCE:.0%}. Change options.head or backbone of an arm (docs/training.md)."


def _with_parts(
    first: list[str], last: list[str], rows: Sequence[tuple[list[Any], list[Any], dict[str, int]]]
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of a table in which a column for each part of a model stands between ``first`` and ``last``."""
    largest: dict[str, int] = {}
    for _, _, counts in rows:
        for part, n in counts.items():
            largest[part] = max(n, largest.get(part, 0))
    parts = sorted(largest, key=lambda part: -largest[part])
    body = [[*before, *(counts.get(part, "") for part in parts), *after] for before, after, counts in rows]
    return [*first, *parts, *last], body
