"""The table of training and validation losses of a study's arms."""

from __future__ import annotations

from ....analysis.learning import loss_trend
from ....analysis.result_table import ResultTable
from ....report.markup import Table


def losses(table: ResultTable) -> Table:
    """A line per arm that has a validation loss: both losses at the end, and what the second one did."""
    body = []
    for row in table.arms:
        if (trend := loss_trend(row)) is not None:
            validation = f"{trend.validation:.4g} ± {trend.error:.2g}"
            body.append([row.system, f"{trend.training:.4g}", validation, f"{trend.late:.1%}", trend.told])
    return Table(["arm", "training loss", "validation loss", "second half", "trend"], body)
