"""The axis samplesize: how the number of clips changes each metric, with two kinds of audio scored at several n.

All clips of a corpus, of any split, are sorted by hashes of their ids and split into two halves: reference sets are
drawn from one, generated sets from the other, n of each without replacement, many times. All metrics of the tagger are
scored, and of every judge its kernel and its Frechet distance. The generated sets are real
clips (``real``: a distance should be 0 at any n) or noise as loud as they are (``noise``: the worst case). The value of
a metric is the mean over the draws, which shows its bias; its interval is where 95% of SINGLE measurements at this n
fall. Draws from a half of N clips share some of them, so the spread is divided by sqrt(1 - n / N) (Cochran, 1977,
"Sampling Techniques", Eq. 2.9).

``cells.py`` and ``measure.py`` load torch, so they are imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...study.axis import Axis, Context, Estimate, Group
from ...study.cells import Cell
from ...study.study import Study


class SampleSize(Axis):
    """See the module's docstring."""

    default_study = "samplesize"
    measures_arms = False
    chapter = "paradigm_bench.benchmarks.axes.samplesize.report.chapter:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        """One cell per kind of audio at the study's ``evaluation.prompts``, which a sweep sets to several n."""
        from .cells import expand

        return expand(study)

    def content(self, cell: Cell) -> dict[str, Any]:
        """Corpus and evaluators."""
        from ..eval_set import identities
        from .cells import VERSION, open_sources

        corpus, evaluators = open_sources(cell.how)
        return {
            "version": VERSION,
            "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
            "evaluation": identities(evaluators),
        }

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """What earlier records of the same cells took, else the published records for as many clips."""
        from ...run.estimate.cells import estimate_scored

        found, basis = estimate_scored(cells, results)
        return found, f"{basis} Embedding all clips once comes on top."

    def open(self, cells: Sequence[Cell], context: Context) -> Group:
        """Embed every clip once."""
        from .measure import SampleSizeGroup

        return SampleSizeGroup(cells, context)
