"""Set-level metrics of one generated set, as functions of which of its clips take part.

``functions`` maps each family to a function of the indices of generated clips (with repeats), so that the
bootstrap and paired comparisons can ask for any draw; the reference set is held fixed and its share of the work is done
once. What an evaluator or a set size cannot give is left out, with its reason in ``missing``.

A metric sees the clips of a draw sorted by content, so that their order never changes a digit. What a fixed
quantisation or fixed neighbourhoods need (MAD's clusters, the balls of precision and recall) is made from the whole set
once and held for all draws.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.lines import count
from ..metrics.arrays import by_content
from ..metrics.frechet import FrechetReference, frechet_distance
from ..metrics.frechet_infinity import MIN_CLIPS, FrechetInfinity, frechet_infinity
from ..metrics.inception import joint_inception_score
from ..metrics.kad import KernelTable
from ..metrics.manifold import NEIGHBOURS, manifold
from ..metrics.mauve import counts, divergence, quantise
from .base import EvaluatorOutput

Index = NDArray[np.intp]
SetMetric = Callable[[Index], float]
SLOW_DRAWS = {"fad_inf": 40}  # each draw of it costs many Frechet distances
SMOOTH = ("fad", "kad", "mad", "is")  # change a little with one clip, so each clip has a contribution
MANIFOLD = ("precision", "recall", "density", "coverage")


class SetLevel:
    """The set-level metrics of ``generated`` against ``reference``.

    Args:
        reference, generated: of n clips each, heard by the same evaluator.

    Attributes:
        functions: family -> metric of the generated clips with the given indices.
        missing: family -> why it is not scored.

    Raises:
        UserError: fewer than two clips, or embeddings of two evaluators.
    """

    def __init__(self, reference: EvaluatorOutput, generated: EvaluatorOutput) -> None:
        self.frechet = frechet_distance(reference.embeddings, generated.embeddings)
        order = np.lexsort(generated.embeddings.T[::-1])
        self._rank = np.argsort(order)
        self._reference, self._generated = by_content(reference.embeddings), generated.embeddings[order]
        self._posteriors = {name: rows[order] for name, rows in generated.posteriors.items()}
        self.missing: dict[str, str] = {}
        self.functions = {name: self._canonical(metric) for name, metric in self._metrics().items()}

    def _metrics(self) -> dict[str, SetMetric]:
        made = {"fad": self._fad(), "kad": self._kad(), "mad": self._mad()}
        if self._enough(MIN_CLIPS, "fad_inf"):
            made["fad_inf"] = self._fad_inf
        if self._enough(NEIGHBOURS + 1, *MANIFOLD):
            made |= self._manifold()
        if self._posteriors:
            made["is"] = self._inception
        else:
            self.missing["is"] = "this evaluator gives no class posteriors"
        return made

    def details(self) -> dict[str, Any]:
        """What the scores rest on, JSON-ready: clipped eigenvalues, FAD-infinity's fit, what is missing and why."""
        told: dict[str, Any] = {"frechet_clipped": self.frechet.clipped, "not_scored": dict(self.missing)}
        if "fad_inf" in self.functions:
            fit = self._whole_fit
            told["fad_inf_fit"] = {"r_squared": fit.r_squared, "sizes": fit.sizes, "distances": fit.distances}
        return told

    def _enough(self, needed: int, *families: str) -> bool:
        n = min(len(self._reference), len(self._generated))
        if n < needed:
            self.missing |= {name: f"{count(n, 'clip')}, it needs {needed}" for name in families}
        return n >= needed

    def _canonical(self, metric: SetMetric) -> SetMetric:
        return lambda index: metric(np.sort(self._rank[index]))

    def _fad(self) -> SetMetric:
        fixed = FrechetReference.of(self._reference)
        return lambda index: fixed.distance(self._generated[index])[0]

    def _fad_inf(self, index: Index) -> float:
        if np.array_equal(index, np.arange(len(self._generated))):
            return self._whole_fit.value
        return frechet_infinity(self._reference, self._generated[index]).value

    @functools.cached_property
    def _whole_fit(self) -> FrechetInfinity:
        return frechet_infinity(self._reference, self._generated)

    def _kad(self) -> SetMetric:
        table, n = KernelTable.of(self._reference, self._generated), len(self._generated)
        return lambda index: table.distance(np.bincount(index, minlength=n).astype(np.float64))

    def _mad(self) -> SetMetric:
        labels = quantise(self._reference, self._generated)
        q = counts(labels.reference, labels.clusters)
        return lambda index: divergence(counts(labels.generated[index], labels.clusters), q)

    def _manifold(self) -> dict[str, SetMetric]:
        balls = manifold(self._reference, self._generated)
        return {
            "precision": lambda index: balls.of(index).precision,
            "recall": lambda index: balls.of(index).recall,
            "density": lambda index: balls.of(index).density,
            "coverage": lambda index: balls.of(index).coverage,
        }

    def _inception(self, index: Index) -> float:
        return joint_inception_score({name: rows[index] for name, rows in self._posteriors.items()})
