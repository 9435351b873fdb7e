"""The built-in corpus: clips, splits and captions.

Clip i of a split is the same whatever the corpus size, and its attributes are balanced: per attribute, every run of as
many clips as there are values holds each value once, in an order drawn for that run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ...common.config import config_hash
from ...common.errors import UserError
from ...common.lines import count
from ...common.seeds import seed_for
from ..clip import Annotation, Clip, Corpus, tempo_bucket
from ..pitch import KEYS, PITCH_CLASSES, pitch_class
from .composition import COMPS, DRUMS, LEADS, TEMPI, Brief, Composition, compose, harmonise
from .harmony import Chord
from .render import render

GENERATOR_VERSION = 2  # raise it with any change that alters a note, a sample or a caption
DEFAULT_TRAIN_CLIPS, VALID_CLIPS, TEST_CLIPS = 4000, 256, 512
DEFAULT_SECONDS = 4.0
MAX_SAMPLE_RATE = 48_000

TEMPLATES = (
    "A {tempo} piece in {key} with {lead} over {comp}, {drums}.",
    "{Lead} melody and {comp} in {key}, {drums}, {tempo}.",
    "{Comp} accompany a {lead} melody in {key} at {bpm} BPM, {drums}.",
    "A {lead} plays over {comp} and bass, {key}, {bpm} BPM, {drums}.",
    "Instrumental in {key}: {lead} lead, {comp}, {drums}, {bpm} BPM.",
    "A tune in {key} at {bpm} BPM: {lead} with {comp} behind it and {drums}.",
    "{Drums}, {comp} and a {lead} lead; key of {key}, {tempo}.",
    "{Key}, {bpm} BPM. A {lead} leads, {comp} support it, {drums}.",
    "Music at {bpm} BPM in the key of {key}, {lead} on top of {comp}, {drums}.",
    "A {tempo} tune for {lead} and {comp} in {key}, {drums}.",
    "Listen to a {lead} with {comp} playing in {key}, {bpm} BPM and {drums}.",
    "{Comp}, bass and {lead} in {key}, {tempo}, {drums}.",
    "A song with {drums}, {lead} and {comp}, {key}, {bpm} BPM.",
    "The {lead} carries the tune in {key} while {comp} play the harmony, {drums}, {bpm} BPM.",
)
COMP_WORDS = {
    "piano": ("piano chords",),
    "organ": ("organ chords",),
    "strings": ("sustained strings", "string chords"),
    "guitar": ("guitar chords", "plucked guitar chords"),
}
DRUM_WORDS = {
    "none": ("no drums", "without drums"),
    "rock": ("a rock beat", "rock drums"),
    "four_on_the_floor": ("four on the floor drums", "a four on the floor beat"),
    "half_time": ("half time drums", "a half time beat"),
    "shuffle": ("a swinging shuffle", "shuffle drums"),
}
TEMPO_WORDS = {80: "slow", 100: "moderate", 120: "fast", 140: "very fast"}

Render = Callable[[Composition, int], np.ndarray]


@dataclass(frozen=True)
class ProceduralReader:
    """Composes and renders one clip on demand."""

    brief: Brief
    seconds: float
    seed: int
    render: Render = render

    def composition(self) -> Composition:
        """The notes of the clip."""
        return compose(self.brief, self.seconds, self.seed)

    def annotation(self) -> Annotation:
        """The exact annotation, from the notes."""
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
    """The built-in corpus: ``clips`` train clips of ``seconds``, 256 valid and 512 test clips.

    Args:
        name: first part of the clip ids.
        render: turns a composition into samples at a sample rate.

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


def caption(brief: Brief, chords: Sequence[Chord], rng: np.random.Generator) -> str:
    """A caption of a piece, with its wording drawn from ``rng``.

    It names key, lead, comping, drums and tempo, and sometimes the chords. If the piece does not begin on its tonic,
    the chords are always named, so that the caption determines the first root too.

    Args:
        chords: in order; consecutive repeats are named once.
    """

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    template = pick(TEMPLATES)
    words = {
        "key": brief.key.replace(":", " "),
        "lead": pick((brief.lead,)),
        "comp": pick(COMP_WORDS[brief.comp]),
        "drums": pick(DRUM_WORDS[brief.drums]),
        "bpm": str(brief.tempo),
        "tempo": f"{TEMPO_WORDS[brief.tempo]} {brief.tempo} BPM",
    }
    sentence = template.format(
        **words, **{name.capitalize(): text[0].upper() + text[1:] for name, text in words.items()}
    )
    tonic = pitch_class(brief.key.partition(":")[0])
    if chords[0].root != tonic or int(rng.integers(3)) == 0:
        sentence += f" Chords {', '.join(symbol for symbol, _ in groupby(chord.symbol for chord in chords))}."
    return sentence
