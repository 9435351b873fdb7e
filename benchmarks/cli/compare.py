"""``bench compare``: one system against another on one metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.config import to_dict
from ...common.errors import UserError, did_you_mean
from ...common.files import json_text
from ...common.lines import count, say
from ..analysis.locations import to_read
from .options import Json, ReadResults

# numpy, and what needs it, loads only where something is compared
if TYPE_CHECKING:
    from ..analysis.result_table import ResultTable, TableRow
    from ..metrics.statistics import Comparison


def compare(
    a: Annotated[str, typer.Argument(help="First system: an arm of the study, or a reference such as real.")],
    b: Annotated[str, typer.Argument(help="Second system.")],
    metric: Annotated[str, typer.Option(help="Metric to compare, e.g. fad_builtin, adherence_builtin.")],
    study: Annotated[str, typer.Option(help="Study whose records are compared.")] = "quickstart",
    margin: Annotated[
        float | None,
        typer.Option(min=0, help="Largest difference that counts as the same, in the metric's unit. Default: none."),
    ] = None,
    results: ReadResults = None,
    as_json: Json = False,
) -> None:
    """Compare two systems on one metric.

    Prints the difference with its interval, the effect size, p, n and a verdict. Clips are paired by prompt and seed;
    the bootstrap resamples prompts and seeds together. A metric of a whole set, such as fad, is compared by each
    clip's contribution to it. p is not corrected for other comparisons; `bench report` corrects for all of a table.

    \b
    Examples:
      bench compare fm ar --metric fad_builtin
      bench compare fm mar --metric clap_builtin --study small_cpu --margin 0.02
    """
    table = load_table(study, to_read(results))
    if table.left_out:
        from ..analysis.comparability import left_out_lines

        say(f"records of other settings, left out: {'; '.join(left_out_lines(table.left_out))}")
    print(comparison_text(table, a, b, metric, margin, as_json))


def load_table(study: str, results: Path) -> ResultTable:
    """The result table of a study's fidelity records.

    Raises:
        UserError: it has none.
    """
    from ..analysis.packs import studies_in
    from ..analysis.records import load_typed
    from ..analysis.result_table import make_table

    held = load_typed(results / study)[0]
    records = [record for record in held if record.axis == "fidelity"]
    if held and not records:
        axes = ", ".join(dict.fromkeys(record.axis for record in held))
        raise UserError(f"study {study!r} has no records of axis fidelity, only of {axes}; see its page, bench report")
    if not records:
        known = studies_in(results)
        hint = did_you_mean(study, known)
        raise UserError(f"no fidelity records of {study!r} in {results}{hint}; known: {', '.join(known) or 'none'}")
    return make_table(study, results / study, records)


def comparison_text(
    table: ResultTable, a: str, b: str, metric: str, margin: float | None, as_json: bool = False
) -> str:
    """What ``bench compare`` prints, with ``--json`` one object.

    Raises:
        UserError: no such system or metric, nothing kept to pair, or unequal n.
    """
    from ..analysis.pooling import compare_rows, pooled
    from ..metrics.statistics import verdict

    if margin is not None and margin <= 0:
        raise UserError(f"--margin {margin:g}: give a positive size in the metric's own unit")
    rows = [_row(table, name) for name in (a, b)]
    if rows[0].kind == "reference" and rows[1].kind != "reference":
        raise UserError(f"{a} is a reference: name the arm first, bench compare {b} {a}")
    sizes = [_size(table, row, metric) for row in rows]
    if sizes[0] != sizes[1]:
        raise UserError(f"{metric}: n is {sizes[0]} for {a} and {sizes[1]} for {b}; scores compare at equal n only")
    found = compare_rows(table, rows[0], rows[1], metric, margin)
    if found is None:
        raise UserError(f"{metric} of {a} and {b}: no clips in common to pair; measure both on the same prompts")
    scores = {name: pooled(table, row, metric).value for name, row in zip((a, b), rows)}
    if as_json:
        about = {"metric": metric, "scores": scores, "n_per_seed": sizes[0]}
        return json_text({**about, **to_dict(found), "verdict": verdict(found)}).rstrip()
    values = " and ".join(f"{name} {value:.4g}" for name, value in scores.items())
    better = f"{metric} ({'higher' if found.higher_is_better else 'lower'} is better): {values}, n {sizes[0]} per seed"
    return "\n".join([better, _told(found), f"verdict: {_verdict(a, b, verdict(found), margin)}"])


def _row(table: ResultTable, name: str) -> TableRow:
    row, known = table.row(name), [row.system for row in table.rows]
    if row is None:
        raise UserError(f"{table.study} has no system {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}")
    if not row.good:
        raise UserError(f"{name} has no scores: {row.records[0].status}, {row.records[0].reason}; run its cell again")
    return row


def _size(table: ResultTable, row: TableRow, metric: str) -> int:
    """n of a row's metric, after a look at whether it can be compared."""
    known = list(row.good[0].metrics)
    if metric not in known:
        raise UserError(
            f"{row.system} has no metric {metric!r}{did_you_mean(metric, known)}; it has {', '.join(known)}"
        )
    if not table.items(row, metric):
        records = ", ".join(record.stem for record in row.good)
        raise UserError(
            f"{metric} of {row.system}: its clips' contributions are not kept (record {records}: an old one, or a "
            "metric that has none); move the record elsewhere and run the study again, or choose fad, kad, mad, is, "
            "or a per-clip metric"
        )
    return row.good[0].metrics[metric].n


def _told(found: Comparison) -> str:
    gap = found.difference
    effect = "undefined" if found.effect_size is None else f"{found.effect_size:+.2f}"
    return (
        f"difference {gap.estimate:+.4g}, {gap.level:.0%} interval [{gap.low:+.4g}, {gap.high:+.4g}]; "
        f"effect size d_z {effect}; p {found.p_value:.3g}; {count(gap.n_items, 'pair')}, "
        f"{count(gap.n_prompts, 'prompt')}, {count(gap.n_seeds, 'seed')}, {gap.n_draws:,} draws"
    )


def _verdict(a: str, b: str, kind: str, margin: float | None) -> str:
    if kind in ("better", "worse"):
        return f"{a} is {kind} than {b}"
    return f"the same within {margin:g}" if kind == "same" else "undecided"
