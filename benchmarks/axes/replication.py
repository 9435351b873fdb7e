"""Replication of training clips by a system's clips: measured for each clip, with the closest pairs.

    replication = Replication(corpus, eval_set, reference_audio_BN, context.report)
    scored, pairs = replication.score(audio_BN)

The definitions are in ``metrics/replication.py``. Every training clip is embedded once for a corpus, a length and a
sample rate (``TrainingClips``); clips that are longer than those to be scored are cut into windows. The result is
cached by content, in parts, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...common.config import config_hash
from ...common.files import atomic_path, cache_dir
from ...common.lines import count
from ...common.locks import locked
from ...common.seeds import seed_for
from ...corpora import Clip, Corpus
from ...corpora.audio import kept_format, write_audio
from ..evaluators import Evaluator, get_evaluator
from ..metrics import replication as measure
from .eval_set import EvalSet
from .scoring import Scored, item_scores

EMBEDDINGS = ("musicnn", "logmel")  # the evaluators in whose embeddings the nearest training clips are searched
FORMAT = 1  # to be raised when what is cached changes
PART = 256  # windows in a file of the cache
MOST_WINDOWS = 20_000  # of the training clips; more are drawn at random, by hashes of their ids
PAIRS = 3  # closest pairs that are recorded, and kept to listen to
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Window:
    """A part of a training clip, from ``start`` seconds on."""

    clip: Clip
    start: float


@dataclass(frozen=True)
class Pair:
    """A clip with the training clip that it is closest to.

    Attributes:
        row: the clip's number among those scored.
        shift_seconds: by how much the clip's content comes later than the window's.
    """

    row: int
    window: Window
    distance: float
    shift_seconds: float


class TrainingClips:
    """All training clips of a corpus, as they are searched: embeddings and spectrograms of their windows.

    Args:
        seconds: length of the clips to be scored, hence of the windows.
        evaluators: those of ``EMBEDDINGS``.
        report: takes the share of the clips that is embedded and a text, while they are embedded for the first time.
    """

    def __init__(
        self, corpus: Corpus, seconds: float, sample_rate: int, evaluators: Sequence[Evaluator], report: Report
    ) -> None:
        every = windows(corpus.clips("train"), seconds)
        self.total, self.windows = len(every), every[:MOST_WINDOWS]
        self._samples, self._rate, self._evaluators = round(seconds * sample_rate), sample_rate, evaluators
        outputs = self._outputs(corpus, seconds, report)
        self.near = {one.name: measure.Standardised(outputs[one.name].astype(np.float64)) for one in evaluators}
        self.spectrograms_CTM = outputs["spectrogram"]
        coarse_CTM = np.stack([measure.coarse(x_TM.astype(np.float64)) for x_TM in self.spectrograms_CTM])
        self.coarse = measure.Alignment(coarse_CTM, measure.HOP_SECONDS * measure.COARSE_FRAMES)

    def audio(self, window: Window) -> np.ndarray:
        """The window's samples (N,); zeros where its clip ends earlier."""
        begin = round(window.start * self._rate)
        found_N = window.clip.audio(self._rate)[begin : begin + self._samples]
        return np.pad(found_N, (0, self._samples - len(found_N)))

    def _outputs(self, corpus: Corpus, seconds: float, report: Report) -> dict[str, np.ndarray]:
        """Name of an evaluator, or ``spectrogram`` -> an array with one row per window."""
        about = {
            "format": FORMAT, "corpus": corpus.fingerprint, "seconds": seconds, "rate": self._rate,
            "evaluators": {one.name: one.identity for one in self._evaluators}, "most": MOST_WINDOWS,
        }  # fmt: skip
        folder = cache_dir("training_clips", config_hash(about))
        parts, begun, new = [], time.monotonic(), 0
        with locked(folder / ".lock"):  # two workers that need the same clips hear them once
            for first in range(0, len(self.windows), PART):
                file = folder / f"{first:06d}.npz"
                if (part := _read(file)) is None:
                    part = self._hear(self.windows[first : first + PART])
                    with atomic_path(file) as temporary, open(temporary, "wb") as stream:
                        np.savez(stream, **part)  # type: ignore[arg-type]  # no name is an option
                    new += PART
                    done = min(first + PART, len(self.windows))
                    left = (time.monotonic() - begun) / new * (len(self.windows) - done)
                    clips = count(len(self.windows), "training clip")
                    report(0.0, f"replication: {done:,} of {clips} embedded, {left:.0f} s left")
                parts.append(part)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _hear(self, some: Sequence[Window]) -> dict[str, np.ndarray]:
        return described([self.audio(window) for window in some], self._rate, self._evaluators)


@dataclass(frozen=True)
class Nearest:
    """The distances of n clips to their nearest training clips.

    Attributes:
        columns: measure (``EMBEDDINGS``, ``alignment``) -> distance (n,).
        window_n: index of the training window at the smallest distance by alignment.
        shift_n: seconds at which it is found.
    """

    columns: dict[str, np.ndarray]
    window_n: np.ndarray
    shift_n: np.ndarray


class Replication:
    """Scores clips by their distances to training clips, beside those of held-out real clips.

    Args:
        eval_set: its prompts' own clips are held-out real clips.
        reference_BN: the audio of its reference set (n, N), which are held-out real clips, too.
        report: see ``TrainingClips``.

    Attributes:
        training: the training clips.
        real: distances of held-out real clips.
        limits: measure -> the distance below which a clip is nearer than all but 1% of them.
    """

    def __init__(self, corpus: Corpus, eval_set: EvalSet, reference_BN: np.ndarray, report: Report) -> None:
        own_BN, self._rate, self._prompts = eval_set.prompt_audio_BN, eval_set.sample_rate, eval_set.prompts
        self._evaluators = [_uncached(get_evaluator(name)) for name in EMBEDDINGS]
        seconds = own_BN.shape[1] / self._rate
        self.training = TrainingClips(corpus, seconds, self._rate, self._evaluators, report)
        self.real = self.nearest([*own_BN, *reference_BN])
        self.limits = {name: measure.too_near(values) for name, values in self.real.columns.items()}

    def nearest(self, clips: Sequence[np.ndarray]) -> Nearest:
        """The distances of clips (N,), which have the length of the evaluation set's."""
        outputs, training = described(clips, self._rate, self._evaluators), self.training
        k = min(measure.CANDIDATES, len(training.windows))
        near = {one.name: training.near[one.name].nearest(outputs[one.name], k) for one in self._evaluators}
        best = []
        for i, spectrogram_TM in enumerate(outputs["spectrogram"].astype(np.float64)):
            coarse_C, _ = training.coarse.distances(measure.coarse(spectrogram_TM))
            nearest = [coarse_C.argsort()[:k], *(index_Qk[i] for _, index_Qk in near.values())]
            chosen = np.unique(np.concatenate(nearest))
            candidates = measure.Alignment(training.spectrograms_CTM[chosen].astype(np.float64))
            distance_C, shift_C = candidates.distances(spectrogram_TM)
            least = int(distance_C.argmin())
            best.append((distance_C[least], chosen[least], shift_C[least]))
        columns = {name: distance_Qk[:, 0] for name, (distance_Qk, _) in near.items()}
        distance_n, window_n, shift_n = (np.array(column) for column in zip(*best))
        return Nearest(columns | {"alignment": distance_n}, window_n.astype(int), shift_n)

    def score(self, audio_BN: np.ndarray) -> tuple[Scored, list[Pair]]:
        """Metrics and per-clip rows of one clip per prompt (n, N), and the closest pairs, closest first.

        The metrics are ``replication_<measure>``, the distance, and ``replication_share_<measure>``, 1 for a clip that
        is nearer to a training clip than all but 1% of held-out real clips. The details state both for real audio.
        """
        found = self.nearest(list(audio_BN))
        own = {f"replication_{name}": values for name, values in found.columns.items()}
        own |= {
            f"replication_share_{name}": (values < self.limits[name]).astype(float)
            for name, values in found.columns.items()
        }
        order = np.argsort(found.columns["alignment"], kind="stable")[:PAIRS]
        pairs = [self._pair(found, int(row)) for row in order]
        return item_scores(own, self._prompts, {"replication": self._details(pairs)}), pairs

    def write(self, audio_BN: np.ndarray, pairs: Sequence[Pair], results: Path, stem: str) -> dict[str, str]:
        """Write both clips of each pair below ``results``; returns name of the artefact -> path."""
        made = {}
        for number, pair in enumerate(pairs, 1):
            clips = {"made": audio_BN[pair.row], "training": self.training.audio(pair.window)}
            for side, audio_N in clips.items():
                path = f"replication/{stem}-{number}-{side}{kept_format()}"
                write_audio(results / path, audio_N, self._rate)
                made[f"replication/{number}/{side}"] = path
        return made

    def _pair(self, found: Nearest, row: int) -> Pair:
        window = self.training.windows[found.window_n[row]]
        return Pair(row, window, float(found.columns["alignment"][row]), float(found.shift_n[row]))

    def _details(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        real = {
            name: {"nearest": values.min(), "limit": self.limits[name], "median": np.median(values), "n": len(values)}
            for name, values in self.real.columns.items()
        }
        return {
            "training_clips": len(self.training.windows),
            "training_clips_in_all": self.training.total,
            "evaluators": {one.name: one.identity for one in self._evaluators},
            "held_out": {name: {k: round(float(v), 6) for k, v in one.items()} for name, one in real.items()},
            "closest": [
                {
                    "item": self._prompts[pair.row].id, "training": pair.window.clip.id, "start": pair.window.start,
                    "distance": round(pair.distance, 6), "shift_seconds": round(pair.shift_seconds, 3),
                }
                for pair in pairs
            ],
        }  # fmt: skip


def windows(clips: Sequence[Clip], seconds: float) -> list[Window]:
    """Windows of ``seconds`` that cover every clip, side by side, the last one aligned to its end; in random order."""
    found = []
    for clip in clips:
        last = max(clip.seconds - seconds, 0.0)
        starts = [*np.arange(0.0, last, seconds).tolist(), last] if last > 0.01 else [0.0]
        found += [Window(clip, start) for start in starts]
    return sorted(found, key=lambda window: seed_for("window", window.clip.id, round(window.start * 1000)))


def described(clips: Sequence[np.ndarray], sample_rate: int, evaluators: Sequence[Evaluator]) -> dict[str, np.ndarray]:
    """What is compared of clips of one length: embeddings by name, float32, and spectrograms, float16."""
    level = [measure.levelled(audio_N) for audio_N in clips]
    found: dict[str, np.ndarray] = {one.name: one.embed(level, sample_rate).astype(np.float32) for one in evaluators}
    spectrograms = [measure.spectrogram(audio_N, sample_rate).astype(np.float16) for audio_N in level]
    return found | {"spectrogram": np.stack(spectrograms)}


def _uncached(evaluator: Evaluator) -> Evaluator:
    """The evaluator without its cache per clip, since training clips are cached together."""
    inner: Evaluator = getattr(evaluator, "inner", evaluator)
    return inner


def _read(file: Path) -> Mapping[str, np.ndarray] | None:
    """None for a missing or broken file, which is then written again."""
    try:
        with np.load(file, allow_pickle=False) as held:
            return dict(held)
    except (OSError, ValueError, EOFError, KeyError):
        return None
