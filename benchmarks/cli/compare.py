"""``bench compare``: one system against another on one metric."""

from __future__ import annotations

from dataclasses import dataclass
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
    metric: Annotated[str, typer.Option(help="Metric to compare, e.g. kad_musicnn, adherence_builtin.")],
    study: Annotated[str, typer.Option(help="Study whose records are compared.")] = "quickstart",
    results: ReadResults = None,
    as_json: Json = False,
) -> None:
    """Compare two systems on one metric.

    Prints the difference with its interval, the effect size, p, n and the verdict, which is the one on the study's
    page: with the same margin, and with p corrected for all comparisons of the study's table. Where the table gives no
    verdict, the reason stands instead. Clips are paired by prompt and seed. A metric of a whole set, such as kad, is
    compared by each clip's contribution to it.

    \b
    Examples:
      bench compare fm ar --metric kad_musicnn
      bench compare fm retrieved --metric adherence_builtin --study small_cpu
    """
    table = load_table(study, to_read(results))
    if table.left_out:
        from ..analysis.comparability import left_out_lines

        say(f"records of other settings, left out: {'; '.join(left_out_lines(table.left_out))}")
    print(comparison_text(table, a, b, metric, as_json))


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


def comparison_text(table: ResultTable, a: str, b: str, metric: str, as_json: bool = False) -> str:
    """What ``bench compare`` prints, with ``--json`` one object.

    Raises:
        UserError: no such system or metric, a system against itself, nothing kept to pair, or unequal n.
    """
    from ..analysis.metric_validity import margin
    from ..analysis.pooling import compare_rows, pooled
    from ..report.words import arm_names

    rows = [_row(table, name) for name in (a, b)]
    if rows[0].system == rows[1].system:
        raise UserError(f"{a} cannot be compared with itself: name two different systems")
    if rows[0].kind == "reference" and rows[1].kind != "reference":
        raise UserError(f"{a} is a reference: name the arm first, bench compare {b} {a}")
    sizes = [_size(table, row, metric) for row in rows]
    if sizes[0] != sizes[1]:
        raise UserError(f"{metric}: n is {sizes[0]} for {a} and {sizes[1]} for {b}; scores compare at equal n only")
    found = compare_rows(table, rows[0], rows[1], metric, margin(table, metric))
    if found is None:
        raise UserError(f"{metric} of {a} and {b}: no clips in common to pair; measure both on the same prompts")
    judged = _judged(table, rows[0], rows[1], metric, found)
    scores = {name: pooled(table, row, metric).value for name, row in zip((a, b), rows)}
    if as_json:
        about = {"metric": metric, "scores": scores, "n_per_seed": sizes[0], **to_dict(found), **to_dict(judged)}
        return json_text({**about, "notes": arm_names(table).note}).rstrip()
    values = " and ".join(f"{name} {value:.4g}" for name, value in scores.items())
    better = f"{metric} ({'higher' if found.higher_is_better else 'lower'} is better): {values}, n {sizes[0]} per seed"
    return "\n".join([better, _told(found), judged.text(table, a, b, found.margin)])


@dataclass(frozen=True)
class TableVerdict:
    """What the study's table says of a comparison.

    Attributes:
        verdict: on the first system; empty where the table gives none, and ``why`` says why.
        p_adjusted: corrected for all ``comparisons`` of the table.
    """

    verdict: str
    why: str = ""
    p_adjusted: float | None = None
    comparisons: int = 0

    def text(self, table: ResultTable, a: str, b: str, margin: float | None) -> str:
        """In words: how far the verdict reaches is part of the names, as on the study's page."""
        from ..report.words import arm_names

        if not self.verdict:
            return f"no verdict: {self.why}"
        names = arm_names(table)
        told = f"{names[a]} is {self.verdict} than {names[b]}"
        if self.verdict not in ("better", "worse"):
            same = "the same" if margin is None else f"the same within {margin:.2g}"
            told = f"{names[a]} and {names[b]}: {same if self.verdict == 'same' else 'undecided'}"
        corrected = f"corrected for the {count(self.comparisons, 'comparison')} of the study's table"
        return "\n".join([f"verdict: {told} (p {self.p_adjusted:.2g}, {corrected})", *names.note])


def _judged(table: ResultTable, a: TableRow, b: TableRow, metric: str, found: Comparison) -> TableVerdict:
    """The table's verdict on row ``a`` against row ``b``."""
    from ..analysis.comparability import too_short
    from ..analysis.metric_validity import why_no_verdict
    from ..analysis.pooling import differences, metric_names, was_trained_against
    from ..metrics.statistics import verdict

    if short := too_short(table.runs):
        return TableVerdict("", f"too short to compare, {short}")
    every = differences(table)
    for own in every:
        if own.metric == metric and {own.a, own.b} == {a.system, b.system}:
            p = own.judgement.p_adjusted
            return TableVerdict(verdict(found, p), p_adjusted=p, comparisons=len(every))
    if why := why_no_verdict(table, metric):
        return TableVerdict("", f"{metric}: {why}")
    for row in (a, b):
        if was_trained_against(row, metric):
            return TableVerdict("", f"{row.system} was trained against the evaluator of {metric}")
    if metric not in metric_names(table):
        return TableVerdict("", f"{metric} stands in a table of details, which has no verdicts")
    return TableVerdict("", f"the study's table does not compare {a.system} with {b.system} on {metric}")


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
            "metric that has none); move the record elsewhere and run the study again, or choose kad, fad, mad, is, "
            "band_level, or a per-clip metric"
        )
    return row.good[0].metrics[metric].n


def _told(found: Comparison) -> str:
    gap = found.difference
    effect = "undefined" if found.effect_size is None else f"{found.effect_size:+.2f}"
    margin = "no margin" if found.margin is None else f"margin {found.margin:.2g}"
    return (
        f"difference {gap.estimate:+.4g}, {gap.level:.0%} interval [{gap.low:+.4g}, {gap.high:+.4g}], {margin}; "
        f"effect size d_z {effect}; p {found.p_value:.3g} by itself; {count(gap.n_items, 'pair')}, "
        f"{count(gap.n_prompts, 'prompt')}, {count(gap.n_seeds, 'seed')}"
    )
