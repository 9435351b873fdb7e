"""``bench power``: how many prompts and seeds a difference needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...common.config import to_dict
from ...common.console import shown
from ...common.errors import UserError
from ...common.files import json_text
from ...common.lines import count
from ..analysis.locations import to_read
from .compare import load_table
from .options import Json, ReadResults

# numpy, and what needs it, loads only where something is computed
if TYPE_CHECKING:
    from ..analysis.power import SampleNeed
    from ..analysis.result_table import ResultTable


def power(
    study: Annotated[str, typer.Argument(help="Study whose records tell how much scores vary.")],
    metric: Annotated[
        str, typer.Option(help="Only this metric, e.g. kad_musicnn. Default: all that give verdicts in the study.")
    ] = "",
    difference: Annotated[
        float | None,
        typer.Option(min=0, help="Difference to find, in the metric's unit. Default: the metric's margin."),
    ] = None,
    power: Annotated[float, typer.Option(min=0, max=1, help="Chance to find it, where it exists.")] = 0.8,
    results: ReadResults = None,
    as_json: Json = False,
) -> None:
    """Say how many prompts and seeds a difference needs.

    The difference is one between two arms. The variances of prompts, of seeds and of the rest come from the study's
    records, as the mean over its pairs of arms. The table gives the number of prompts for one seed (which tells two
    runs apart, not two paradigms) and for more: for one comparison by itself, and for the first step of Holm's
    correction over all comparisons of the study.

    \b
    Examples:
      bench power small_cpu
      bench power small_cpu --metric adherence_builtin --difference 0.04 --power 0.9
    """
    print(power_text(load_table(study, to_read(results)), metric, difference, power, as_json))


def power_text(table: ResultTable, metric: str, difference: float | None, power: float, as_json: bool = False) -> str:
    """What ``bench power`` prints, with ``--json`` one object.

    Raises:
        UserError: see ``power.needs``; a power of 0 or 1, or a difference of 0.
    """
    from ..analysis.power import MOST_PROMPTS, needs

    if not 0 < power < 1:
        raise UserError(f"--power {power:g}: give a chance between 0 and 1, e.g. 0.8")
    if difference == 0:
        raise UserError("--difference 0: no number of prompts finds it; give the size that matters")
    found, comparisons = needs(table, metric, difference, power)
    if as_json:
        about = {"study": table.study, "power": power, "comparisons": comparisons}
        return json_text({**about, "needs": [to_dict(one) for one in found]}).rstrip()
    beyond = f"more than {MOST_PROMPTS:,}"
    header = ["metric", "difference", "seeds", "prompts alone", f"prompts among {comparisons}"]
    body = [
        [one.metric, f"{one.difference:.3g}", _seeds(one), *(n or beyond for n in (one.alone, one.in_table))]
        for one in found
    ]
    among = f"one comparison alone, and the first of the {count(comparisons, 'comparison')} of the study's table"
    lines = [
        shown(header, body, False),
        "",
        f"The number of prompts with which the test finds the difference with a chance of {power:.0%}: {among}.",
        "A verdict of better or worse also needs an estimate outside the metric's margin.",
    ]
    if all(one.n_seeds == 1 for one in found):
        lines.append("One seed does not tell the variance between seeds: run with --seed 0 --seed 1 --seed 2.")
    return "\n".join(lines)


def _seeds(need: SampleNeed) -> str:
    return "1 (these runs only)" if need.n_seeds == 1 else str(need.n_seeds)
