"""Clips and splits of the built-in corpus.

Clip i of a split is the same whatever the corpus size, and its attributes are balanced: per attribute, every run of as
many clips as there are values holds each value once, in an order drawn for that run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...common.config import config_hash
from ...common.errors import UserError
from ...common.lines import count
from ...common.seeds import seed_for
from ..clip import Annotation, Clip, Corpus, tempo_bucket
from ..pitch import KEYS, PITCH_CLASSES
from .captions import caption
from .composition import COMPS, DRUMS, LEADS, TEMPI, Brief, Composition, compose, harmonise
from .render import render

GENERATOR_VERSION = 2  # raise it with any change that alters a note, a sample or a word
DEFAULT_TRAIN_CLIPS, VALID_CLIPS, TEST_CLIPS = 4000, 256, 512
DEFAULT_SECONDS = 4.0
MAX_SAMPLE_RATE = 48_000

Render = Callable[[Composition, int], np.ndarray]


@dataclass(frozen=True)
class ProceduralReader:
    """Composes and renders one clip when asked."""

    brief: Brief
    seconds: float
    seed: int
    render: Render = render

    def composition(self) -> Composition:
        """The notes of the clip."""
        return compose(self.brief, self.seconds, self.seed)

    def annotation(self) -> Annotation:
        """Exact facts, from the notes."""
        return self.composition().annotation()

    def audio(self, sample_rate: int) -> np.ndarray:
        """Mono samples (N,), float32 in [-1, 1], rendered at ``sample_rate`` Hz.

        Raises:
            UserError: a sample rate outside 8000..48000 Hz.
        """
        if not 8_000 <= sample_rate <= MAX_SAMPLE_RATE:
            raise UserError(f"built-in corpus: sample rate {sample_rate} Hz; choose one in 8000..{MAX_SAMPLE_RATE}")
        return self.render(self.composition(), sample_rate)


def load_builtin(
    *,
    clips: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    name: str = "builtin",
    render: Render = render,
) -> Corpus:
    """The built-in corpus.

    Args:
        clips: number of train clips (256 valid and 512 test clips come on top).
        seconds: length of every clip.
        seed: other seeds give other compositions.
        name: first part of the clip ids.
        render: what turns a composition into samples.

    Raises:
        UserError: no clips, or clips shorter than one second.
    """
    train = DEFAULT_TRAIN_CLIPS if clips is None else clips
    length = DEFAULT_SECONDS if seconds is None else float(seconds)
    if train < 1:
        raise UserError(f"corpus {name}: {count(train, 'clip')} asked for; ask for at least 1")
    if not 1.0 <= length <= 600.0:
        raise UserError(f"corpus {name}: clips of {length} s asked for; choose 1 to 600 seconds")
    sizes = {"train": train, "valid": VALID_CLIPS, "test": TEST_CLIPS}
    settings = {"name": name, "version": GENERATOR_VERSION, "seconds": length, "seed": seed, "sizes": sizes}
    splits = {split: [_clip(name, split, i, length, seed, render) for i in range(n)] for split, n in sizes.items()}
    return Corpus(name, config_hash(settings), splits)


def _clip(name: str, split: str, index: int, seconds: float, seed: int, render: Render) -> Clip:
    stream = ("builtin", GENERATOR_VERSION, seed, split)
    brief = Brief(
        key=_balanced(KEYS, index, (*stream, "key")),
        lead=_balanced(LEADS, index, (*stream, "lead")),
        comp=_balanced(COMPS, index, (*stream, "comp")),
        drums=_balanced(DRUMS, index, (*stream, "drums")),
        tempo=int(_balanced(tuple(map(str, TEMPI)), index, (*stream, "tempo"))),
    )
    reader = ProceduralReader(brief, seconds, seed_for(*stream, index), render)
    chords = harmonise(brief, seconds, reader.seed)
    words = np.random.Generator(np.random.PCG64(seed_for(*stream, index, "caption")))
    attributes = {
        "key": brief.key,
        "root": PITCH_CLASSES[chords[0].root],
        "lead": brief.lead,
        "comp": brief.comp,
        "drums": brief.drums,
        "tempo": tempo_bucket(brief.tempo),
    }
    return Clip(f"{name}-{split}-{index:05d}", split, caption(brief, chords, words), seconds, attributes, reader)


def _balanced(values: tuple[str, ...], index: int, stream: tuple[object, ...]) -> str:
    """The value of clip ``index``: each block of ``len(values)`` clips is a random permutation of the values."""
    block, place = divmod(index, len(values))
    return values[_permutation(len(values), seed_for(*stream, block))[place]]


@functools.lru_cache(maxsize=4096)
def _permutation(n: int, seed: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.random.Generator(np.random.PCG64(seed)).permutation(n))
