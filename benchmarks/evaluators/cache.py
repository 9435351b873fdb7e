"""Outputs of an evaluator, cached per clip under the clip's content and the evaluator's identity.

File names play no part, and nothing is written beside the audio: regenerated audio has another key, and so has another
checkpoint. A clip's output does not depend on the other clips, so the cache may hold only some clips of a set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ...common.config import config_hash
from ...common.files import atomic_path, cache_dir
from . import audio as policy
from .base import Audio, Evaluator, EvaluatorOutput, Float

ClipRow = dict[str, NDArray[np.float64]]  # "embedding", "similarity", "band_levels", "posterior/<name>", "score/<name>"


class CachedEvaluator(Evaluator):
    """An evaluator that caches its outputs; in everything else it is ``inner``."""

    def __init__(self, inner: Evaluator) -> None:
        self.inner, self.name, self.identity, self.classes = inner, inner.name, inner.identity, inner.classes
        self.checkpoint, self.role = inner.checkpoint, inner.role
        self.reads_captions = inner.reads_captions
        self.vocabulary: tuple[str, ...] = tuple(getattr(inner, "vocabulary", ()))  # known words of captions, if any

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """See ``Evaluator.evaluate``; the inner evaluator is only given clips that are not cached."""
        policy.check(audio, sample_rate, "audio")
        policy.check_captions(audio, captions)
        captions = captions if self.reads_captions else None
        texts = [None] * len(audio) if captions is None else list(captions)
        files = [self._file(wav, sample_rate, text) for wav, text in zip(audio, texts)]
        rows = {file: row for file in set(files) if (row := _read(file)) is not None}
        new = {file: i for i, file in enumerate(files) if file not in rows}  # equal clips are evaluated once
        if new:
            order = list(new.values())
            asked = None if captions is None else [captions[i] for i in order]
            output = self.inner.evaluate([audio[i] for i in order], sample_rate, asked)
            for k, file in enumerate(new):
                rows[file] = row_of(output, k)
                _write(file, rows[file])
        silent = sum(policy.is_silent(wav) for wav in audio)
        return output_of([rows[file] for file in files], silent)

    def _file(self, wav: NDArray[np.float32], sample_rate: int, caption: str | None) -> Path:
        samples = np.ascontiguousarray(wav, np.float32)
        about = {"policy": policy.POLICY, "sample_rate": sample_rate, "caption": caption}
        key = hashlib.sha256(config_hash(about).encode() + samples.tobytes()).hexdigest()[:32]
        return cache_dir("evaluator_outputs", f"{self.name}-{self.identity}", key[:2], f"{key}.safetensors")


def row_of(output: EvaluatorOutput, i: int) -> ClipRow:
    """Clip ``i`` of an output as named arrays."""
    row = {"embedding": output.embeddings[i]}
    row |= {} if output.similarity is None else {"similarity": output.similarity[i]}
    row |= {} if output.band_levels is None else {"band_levels": output.band_levels[i]}
    row |= {f"posterior/{name}": values[i] for name, values in output.posteriors.items()}
    return row | {f"score/{name}": values[i] for name, values in output.scores.items()}


def output_of(rows: Sequence[ClipRow], silent: int) -> EvaluatorOutput:
    """The output whose clips are ``rows``."""
    return output_from({name: np.stack([row[name] for row in rows]) for name in rows[0]}, silent)


def output_from(table: Mapping[str, Float], silent: int) -> EvaluatorOutput:
    """The output for n clips whose rows are stacked in ``table``: each array (n, ...)."""
    return EvaluatorOutput(
        embeddings=table["embedding"],
        posteriors={name.partition("/")[2]: v for name, v in table.items() if name.startswith("posterior/")},
        similarity=table.get("similarity"),
        silent=silent,
        scores={name.partition("/")[2]: v for name, v in table.items() if name.startswith("score/")},
        band_levels=table.get("band_levels"),
    )


def _read(file: Path) -> ClipRow | None:
    """``None`` for a missing or broken file, which is then written again."""
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        return None


def _write(file: Path, row: ClipRow) -> None:
    with atomic_path(file) as temporary:
        save_file({name: np.array(value, np.float64) for name, value in row.items()}, temporary)
