"""Checks of the arrays that metrics are given: an error names the bad item, instead of a NaN in the mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.errors import UserError
from ...common.lines import count

Float = NDArray[np.float64]


def as_matrix(values: ArrayLike, name: str, min_rows: int = 1) -> Float:
    """``values`` as a finite float64 matrix (n, d).

    Raises:
        UserError: not two-dimensional, fewer than ``min_rows`` rows, or a row that is not finite (its index is named).
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise UserError(f"{name}: expected a matrix (items, dimensions), got shape {matrix.shape}")
    if len(matrix) < min_rows:
        raise UserError(f"{name}: {count(len(matrix), 'item')}, this metric needs at least {min_rows}; give more clips")
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise UserError(f"{name}: item {bad[0]} holds NaN or infinity ({len(bad)} in all); score finite audio only")
    return matrix


def as_pair(reference: ArrayLike, generated: ArrayLike, what: str, min_rows: int = 1) -> tuple[Float, Float]:
    """Two matrices of one width.

    Raises:
        UserError: see ``as_matrix``; or the widths differ, as when two evaluators were mixed.
    """
    first = as_matrix(reference, f"reference {what}", min_rows)
    second = as_matrix(generated, f"generated {what}", min_rows)
    if first.shape[1] != second.shape[1]:
        raise UserError(
            f"reference {what} have {first.shape[1]} dimensions, generated {second.shape[1]}: use one evaluator"
        )
    return first, second


def as_paired(reference: ArrayLike, generated: ArrayLike, what: str) -> tuple[Float, Float]:
    """Two matrices of one shape, row i of one belonging to row i of the other.

    Raises:
        UserError: see ``as_pair``; or the numbers of rows differ.
    """
    first, second = as_pair(reference, generated, what)
    if len(first) != len(second):
        raise UserError(f"{len(first)} reference {what} but {len(second)} generated: a paired metric needs pairs")
    return first, second


def by_content(items: Float) -> Float:
    """The rows sorted by their values, so that draws and sums do not depend on their order."""
    return items[np.lexsort(items.T[::-1])]
