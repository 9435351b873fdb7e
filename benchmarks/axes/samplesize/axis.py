"""How the number of clips moves each metric: the same two kinds of audio scored again and again at several n.

All clips of a corpus, whatever their split, are ordered by hashes of their ids and cut into two halves: reference sets
are drawn from one, generated sets from the other, n of each without replacement, ``REPEATS`` times. The generated sets
are real clips (``real``: a distance should be 0 at any n) or noise as loud as they are (``noise``: the worst there is).
A metric's value is the mean over the repeats, which shows its bias; its interval is where 95% of SINGLE measurements
at this n fall. Draws from a half of N clips share some of them, so the spread is divided by sqrt(1 - n / N) (Cochran,
1977, "Sampling Techniques", Eq. 2.9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....common.config import from_dict, to_dict
from ....common.errors import UserError
from ....common.seeds import seed_for
from ...metrics.metric import Metric, metric
from ...study.axis import Context, Estimate, Measurement
from ...study.cells import Cell
from ...study.study import CorpusChoice, Study

if TYPE_CHECKING:
    from ....corpora import Clip, Corpus
    from ...evaluators import Evaluator, EvaluatorOutput

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes
REPEATS = 24
SAMPLE_RATE = 16_000
SYSTEMS = ("real", "noise")


class SampleSize:
    """The axis; see the module's docstring."""

    default_study = "samplesize"
    exclusive = False

    def expand(self, study: Study) -> list[Cell]:
        """One cell per kind of audio at the study's ``evaluation.prompts``, which a sweep takes through several n.

        Raises:
            UserError: a reference that this axis does not know, or more clips asked for than a half holds.
        """
        corpus, evaluator = _open(to_dict(study.corpus), study.evaluation.evaluator)
        n, half = study.evaluation.prompts, len(_clips(corpus, study.train.seconds)) // 2
        if n >= half:
            raise UserError(
                f"{study.name}: evaluation.prompts is {n} but must be below {half}, half of the corpus' clips"
            )
        chosen = [name for name in study.evaluation.references if name in SYSTEMS]
        if not chosen:
            raise UserError(f"{study.name}: evaluation.references has none of {', '.join(SYSTEMS)}; name at least one")
        shared = {
            "axis": "samplesize",
            "version": VERSION,
            "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
            "evaluation": {
                "n": n, "repeats": REPEATS, "seconds": study.train.seconds, "sample_rate": SAMPLE_RATE,
                "evaluator": {"name": evaluator.name, "identity": evaluator.identity},
            },
        }  # fmt: skip
        how = {"corpus": to_dict(study.corpus), "evaluator": study.evaluation.evaluator}
        return [
            Cell("samplesize", name, "reference", 0, None, "samplesize", {**shared, "reference": name}, how)
            for name in chosen
        ]

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """What earlier records of the same cells took, else the published records for as many clips."""
        from ..scoring_estimate import estimate

        found, basis = estimate(cells, results)
        return found, f"{basis} Embedding all clips once comes on top."

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Nothing is shared between groups."""

    def open(self, cells: Sequence[Cell], context: Context) -> SampleSizeGroup:
        """Embed every clip once."""
        return SampleSizeGroup(cells, context)


class SampleSizeGroup:
    """All clips, heard."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        how, evaluation = cells[0].how, cells[0].config["evaluation"]
        corpus, self.evaluator = _open(how["corpus"], how["evaluator"])
        clips = _clips(corpus, evaluation["seconds"])
        half = len(clips) // 2
        self.clips = clips[half : 2 * half]
        noisy = any(cell.system == "noise" for cell in cells)
        samples = round(evaluation["seconds"] * SAMPLE_RATE)
        self.reference = self._hear(clips[:half], samples, False, False, context, 0.0)
        self.real = self._hear(self.clips, samples, True, False, context, 0.4)
        self.noise = self._hear(self.clips, samples, True, True, context, 0.7) if noisy else None

    def measure(self, cell: Cell) -> Measurement:
        """Score ``REPEATS`` draws."""
        import time

        begun, evaluation = time.perf_counter(), cell.config["evaluation"]
        rows = [self._score(cell, evaluation["n"], repeat) for repeat in range(evaluation["repeats"])]
        shrunk = math.sqrt(1 - evaluation["n"] / len(self.clips))
        metrics = {name: _spread([row[name] for row in rows], name, evaluation["n"], shrunk) for name in rows[0]}
        items = [{"item": f"repeat-{i}", "caption": "", **row} for i, row in enumerate(rows)]
        return Measurement(metrics=metrics, items=items, timing={"measuring_seconds": time.perf_counter() - begun})

    def _score(self, cell: Cell, n: int, repeat: int) -> dict[str, float]:
        """All metrics of one draw; the two kinds of audio meet the same clips."""
        from ...evaluators import score_set

        rng = np.random.default_rng(seed_for("samplesize", n, repeat))
        reference, chosen = (rng.permutation(len(self.clips))[:n] for _ in range(2))
        generated = self.real if cell.system == "real" else self.noise
        assert generated is not None
        clips = [self.clips[i] for i in chosen]
        scores = score_set(
            _take(self.reference, reference), _take(generated, chosen), [clip.caption for clip in clips],
            [clip.attributes for clip in clips], self.evaluator, SAMPLE_RATE, paired=_take(self.real, chosen),
        )  # fmt: skip
        return scores.set_metrics

    def _hear(
        self, clips: Sequence[Clip], samples: int, captioned: bool, noise: bool, context: Context, done: float
    ) -> EvaluatorOutput:
        parts = []
        for start in range(0, len(clips), 64):
            part = clips[start : start + 64]
            context.report(done + 0.3 * start / len(clips), f"hearing {'noise' * noise or 'real clips'}")
            audio_BN = np.stack([clip.audio(SAMPLE_RATE)[:samples] for clip in part]).astype(np.float32)
            if noise:
                audio_BN = np.concatenate([_noise(row, clip.id) for row, clip in zip(audio_BN, part)])
            captions = [clip.caption for clip in part] if captioned else None
            parts.append(self.evaluator.hear(list(audio_BN), SAMPLE_RATE, captions))
        return _joined(parts)


def _open(corpus: dict[str, Any], evaluator: str) -> tuple[Corpus, Evaluator]:
    from ....corpora import load_corpus
    from ...evaluators import get_evaluator
    from ...evaluators.cache import Cached

    choice = from_dict(CorpusChoice, corpus, "corpus")
    found = load_corpus(choice.spec, clips=choice.clips, seconds=choice.seconds, seed=choice.seed)
    heard_by = get_evaluator(evaluator, corpus=found, representation=None)
    return found, heard_by if isinstance(heard_by, Cached) else Cached(heard_by)


def _clips(corpus: Corpus, seconds: float) -> list[Clip]:
    every = [clip for clips in corpus.clips_by_split.values() for clip in clips if clip.seconds >= seconds - 0.01]
    return sorted(every, key=lambda clip: seed_for("samplesize", clip.id))


def _noise(audio_N: np.ndarray, clip: str) -> np.ndarray:
    """White noise as loud as a clip, (1, N), its own for every clip."""
    from ...study.references import as_loud_noise

    return as_loud_noise(audio_N[None], seed_for("samplesize", clip))


def _spread(values: Sequence[float], name: str, n: int, shrunk: float) -> Metric:
    from ...metrics.catalogue import about

    kind, mean, half = about(name), float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / shrunk
    low, high = max(mean - half, kind.least), min(mean + half, kind.most)
    return metric(mean, low=low, high=high, n=n, better=kind.better)


def _take(heard: EvaluatorOutput, index: np.ndarray) -> EvaluatorOutput:
    from ...evaluators.cache import output_of, row_of

    return output_of([row_of(heard, int(i)) for i in index], 0)


def _joined(parts: Sequence[EvaluatorOutput]) -> EvaluatorOutput:
    from ...evaluators.cache import output_of, row_of

    rows = [row_of(part, i) for part in parts for i in range(len(part.embeddings))]
    return output_of(rows, sum(part.silent for part in parts))
