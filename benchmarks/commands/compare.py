"""``bench compare``: one system against another on one metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.report.fidelity.board import Board, Row
    from benchmarks.statistics import Comparison


def compare(
    a: Annotated[str, typer.Argument(help="A system of the study: an arm's label, or a reference such as real.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    metric: Annotated[str, typer.Option(help="E.g. fad_builtin, adherence_builtin, adherence_key_builtin.")],
    study: Annotated[str, typer.Option(help="Whose records.")] = "quickstart",
    margin: Annotated[
        float | None, typer.Option(help="Differences up to this are the same; without it nothing is called same.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the records are.")] = Path("results"),
) -> None:
    """Compare two systems on the same prompts and seeds: difference with interval, effect size, p, verdict, n.

    Clips are paired by prompt and seed and drawn together, clustered on both. A set-level metric such as fad is
    compared by what each clip contributes to it. p is that of this one comparison; `bench report` corrects for many.

    \b
    Examples:
      bench compare fm ar --metric fad_builtin
      bench compare fm mar --metric clap_builtin --study small_cpu --margin 0.02
    """
    print(comparison_text(load_board(study, results), a, b, metric, margin))


def load_board(study: str, results: Path) -> Board:
    """The board of a study's fidelity records.

    Raises:
        UserError: it has none.
    """
    from benchmarks.records import load_records
    from benchmarks.report.fidelity.board import make_board
    from common.errors import UserError, did_you_mean

    records = [record for record in load_records(results / study)[0] if record.axis == "fidelity"]
    if not records:
        known = sorted(path.parent.name for path in results.glob("*/records"))
        hint = did_you_mean(study, known)
        raise UserError(f"no fidelity records of {study!r} in {results}{hint}; known: {', '.join(known) or 'none'}")
    return make_board(study, results / study, records)


def comparison_text(board: Board, a: str, b: str, metric: str, margin: float | None) -> str:
    """What ``bench compare`` prints.

    Raises:
        UserError: no such system or metric, nothing kept to pair, or unequal n.
    """
    from benchmarks.report.fidelity.scores import compare_rows, pooled
    from benchmarks.statistics import verdict
    from common.errors import UserError

    if margin is not None and margin <= 0:
        raise UserError(f"--margin {margin:g}: give a positive size in the metric's own unit")
    rows = [_row(board, name) for name in (a, b)]
    if rows[0].kind == "reference" and rows[1].kind != "reference":
        raise UserError(f"{a} is a reference: name the arm first, bench compare {b} {a}")
    sizes = [_size(board, row, metric) for row in rows]
    if sizes[0] != sizes[1]:
        raise UserError(f"{metric}: n is {sizes[0]} for {a} and {sizes[1]} for {b}; scores compare at equal n only")
    found = compare_rows(board, rows[0], rows[1], metric, margin)
    if found is None:
        raise UserError(f"{metric} of {a} and {b}: no clips in common to pair; measure both on the same prompts")
    values = " and ".join(f"{name} {pooled(board, row, metric).value:.4g}" for name, row in zip((a, b), rows))
    better = f"{metric} ({'higher' if found.higher_is_better else 'lower'} is better): {values}, n {sizes[0]} per seed"
    return "\n".join([better, _told(found), f"verdict: {_verdict(a, b, verdict(found), margin)}"])


def _row(board: Board, name: str) -> Row:
    from common.errors import UserError, did_you_mean

    row, known = board.row(name), [row.system for row in board.rows]
    if row is None:
        raise UserError(f"{board.study} has no system {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}")
    if not row.good:
        raise UserError(f"{name} has no scores: {row.records[0].status}, {row.records[0].reason}; run its cell again")
    return row


def _size(board: Board, row: Row, metric: str) -> int:
    """n of a row's metric, after a look at whether it can be compared."""
    from common.errors import UserError, did_you_mean

    known = list(row.good[0].metrics)
    if metric not in known:
        raise UserError(
            f"{row.system} has no metric {metric!r}{did_you_mean(metric, known)}; it has {', '.join(known)}"
        )
    if not board.items(row, metric):
        records = ", ".join(record.stem for record in row.good)
        raise UserError(
            f"{metric} of {row.system}: its clips' contributions are not kept (record {records}: an old one, or a "
            "metric that has none); delete the record and run the study again, or choose fad, kad, mad, is, or a "
            "per-clip metric"
        )
    return row.good[0].metrics[metric].n


def _told(found: Comparison) -> str:
    gap = found.difference
    effect = "undefined" if found.effect_size is None else f"{found.effect_size:+.2f}"
    return (
        f"difference {gap.estimate:+.4g}, {gap.level:.0%} interval [{gap.low:+.4g}, {gap.high:+.4g}]; "
        f"effect size d_z {effect}; p {found.p_value:.3g}; {gap.n_items} pairs, "
        f"{gap.n_prompts} prompts, {gap.n_seeds} seed{'s' * (gap.n_seeds > 1)}, {gap.n_draws:,} draws"
    )


def _verdict(a: str, b: str, kind: str, margin: float | None) -> str:
    if kind in ("better", "worse"):
        return f"{a} is {kind} than {b}"
    return f"the same within {margin:g}" if kind == "same" else "undecided"
