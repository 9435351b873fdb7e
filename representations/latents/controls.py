"""Temporal controls: chords, melody and drums as one token per latent frame (Tal et al. 2025, appendix C).

    name            tokens                                              embedding
    chords          Chordino's 193 labels: 16 kinds on 12 roots, none   16
    chords_majmin   24 triads, none                                     16
    melody          the 53 notes G2..B6 (MIDI 43..95), none             16
    drums           entries of the codec's first codebook               2
    drums_kit       the set of drums that are hit, of the kit's five  16

"None" is a value like any other: a user can ask for silence. It differs from the learnt null token that replaces a
control for guidance. The null token belongs to the model, not to the data, and its index is ``cardinality``. ``ABSENT``
in the data marks a control that is not known for a clip. Tal et al. give the range of the melody as G2 to B7 but its
size as 53, which is G2 to B6; the widths of embeddings are those of JASCO's release.

Chord labels outside a vocabulary are replaced by the nearest label on the same root: the one with the fewest tones in
excess or missing (a ninth becomes its seventh, a diminished seventh its triad, and for ``chords_majmin`` every chord a
triad by its third), then by bass, which is dropped where the vocabulary has none.

Tokens come from a clip's exact annotation if it has one, else from extractors. The time of a frame is its middle, so a
change of chord falls on the nearest frame boundary.

    chords   the chord that sounds at the frame's time; "none" outside annotated spans
    melody   the note that sounds at the frame's time (the one that began last, if there are several)
    drums    the drum stem's latents, averaged over 100 ms each, through the codec's first codebook; the stem is
             rendered from annotated hits. No extractor detects drums: without annotated drums the tokens are ``ABSENT``
    drums_kit  the drums of the built-in kit whose hits begin in the frame, from the same annotation (not in the paper)

Tal et al. average the drums over 5 frames and train with controls at 50 Hz, where 5 frames last 100 ms. The time is
kept here, not the number of frames: 5 frames at 25 Hz last 200 ms, which would blur the beats. Even so, with the
built-in codec ``drums`` carries little but the kick (docs/control.md, "What each control carries"), and ``drums_kit``
carries every hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...common.config import config_hash
from ...common.errors import UserError, did_you_mean
from ...corpora import Clip
from ...corpora.chord_labels import NO_CHORD, nearest, read_label, to_harte
from ...corpora.extractors import load_extractor
from ...corpora.pitch import PITCH_CLASSES
from ...corpora.procedural.render import KIT, drum_stem, kit_hits
from ..base import Representation, fit_length
from ..spec import LatentSpec

CONTROL_VERSION = 2  # raise it with any change that alters a token; part of the cache's key
LOWEST_NOTE, HIGHEST_NOTE = 43, 95  # G2 and B6
NO_NOTE = HIGHEST_NOTE - LOWEST_NOTE + 1
ABSENT = -1  # at every frame of a control that is not known; the model replaces it by its null token
BLUR_SECONDS = 0.1
DRUM_CLIPS = 16  # drum stems that the codec encodes at once

# The chord dictionary inside Chordino (nnls-chroma 1.1), in Harte's spelling; plainer kinds first, since ties go there.
CHORD_KINDS = {
    "chords": (
        "maj", "min", "7", "min7", "maj7", "maj6", "min6", "dim", "hdim7", "aug", "maj/3", "maj/5", "maj/2", "maj/b7",
        "7/3", "hdim7/b7",
    ),
    "chords_majmin": ("maj", "min"),
}  # fmt: skip

DRUMS, DRUM_KIT = "drums", "drums_kit"
# Controls whose values are labelled spans -> field of ``Annotation`` that holds them, and kind of extractor.
SOURCES = {**dict.fromkeys(CHORD_KINDS, "chords"), "melody": "melody"}
CONTROLS = (*SOURCES, DRUMS, DRUM_KIT)

Spans = Sequence[tuple[float, float, str | int]]  # (start, end, Harte label or MIDI note), seconds


@dataclass(frozen=True)
class ControlSpec:
    """What a model must know about one control.

    Args:
        cardinality: number of values; tokens are 0..cardinality - 1, and the model's null token is ``cardinality``.
        dim: width of the embedding.
    """

    name: str
    cardinality: int
    dim: int


def chord_labels(control: str) -> tuple[str, ...]:
    """The vocabulary of a chord control: Harte labels by token, kind by kind; the last is ``"N"``."""
    return (*(f"{root}:{kind}" for kind in CHORD_KINDS[control] for root in PITCH_CLASSES), NO_CHORD)


def chord_token(label: str, control: str = "chords") -> int:
    """The token of a label in Harte's or lead-sheet spelling, or of the nearest label that the vocabulary has.

    Raises:
        UserError: not a chord label.
    """
    chord = read_label(label)
    parsed = [read_label(f"C:{kind}") for kind in CHORD_KINDS[control]]
    kinds = [(kind.tones, kind.bass) for kind in parsed]
    if chord.root is None:
        return 12 * len(kinds)
    return 12 * kinds.index(nearest(chord, kinds)) + chord.root


def chord_label(token: int, control: str = "chords") -> str:
    """The Harte label of a token."""
    return chord_labels(control)[token]


def melody_token(midi: int) -> int:
    """The token of a MIDI note; a note out of range counts as no note."""
    return midi - LOWEST_NOTE if LOWEST_NOTE <= midi <= HIGHEST_NOTE else NO_NOTE


def none_token(control: str) -> int:
    """The token, the last one, where a control of ``SOURCES`` has no span."""
    return NO_NOTE if control == "melody" else 12 * len(CHORD_KINDS[control])


def control_specs(names: Sequence[str], latent: LatentSpec) -> tuple[ControlSpec, ...]:
    """The specs of the controls called ``names``, in that order.

    Raises:
        UserError: an unknown or repeated name, both chord vocabularies at once, or drums without a codebook.
    """
    for name in names:
        if name not in CONTROLS:
            raise UserError(
                f"unknown control {name!r}{did_you_mean(name, list(CONTROLS))}; known: {', '.join(CONTROLS)}"
            )
    if len(set(names)) < len(names) or set(CHORD_KINDS) <= set(names):
        raise UserError(
            f"controls {', '.join(names)}: give each only once, and only one of {' and '.join(CHORD_KINDS)}"
        )
    if DRUMS in names and not latent.codebooks:
        raise UserError(f"control 'drums' needs codebooks, but {latent.name!r} has none; leave it out")
    sizes = {DRUMS: (latent.cardinality, 2), DRUM_KIT: (2 ** len(KIT), 16)}
    return tuple(ControlSpec(name, *(sizes.get(name) or (none_token(name) + 1, 16))) for name in names)


def control_tokens(
    clip: Clip, specs: Sequence[ControlSpec], latent: LatentSpec, representation: Representation, frames: int
) -> dict[str, Tensor]:
    """The tokens of each control of a clip, (T,) int64; ``ABSENT`` throughout if the clip has no such control.

    Raises:
        UserError: an unknown chord label in the annotation, or audio that cannot be read.
    """
    return {
        spec.name: drum_tokens([clip], representation, [frames])[0]
        if spec.name == DRUMS
        else timed_tokens(clip, spec.name, latent, frames)
        for spec in specs
    }


def timed_tokens(clip: Clip, control: str, latent: LatentSpec, frames: int) -> Tensor:
    """The tokens (T,) of any control but ``drums``, from the clip's annotation or by the built-in extractor."""
    if control == DRUM_KIT:
        return hit_tokens(clip, latent, frames)
    source = SOURCES[control]
    spans = _annotated_spans(clip, source)
    if not spans:
        spans = load_extractor(source)(clip.audio(latent.sample_rate), latent.sample_rate)
    try:
        return span_tokens(spans, control, latent, frames)
    except UserError as error:
        raise UserError(f"clip {clip.id}, annotation field {source}: {error}") from error


def span_tokens(spans: Spans, control: str, latent: LatentSpec, frames: int) -> Tensor:
    """Labelled spans as tokens (T,) of the control called ``control``.

    Raises:
        UserError: an unknown chord label.
    """
    tokens_T = torch.full((frames,), none_token(control), dtype=torch.int64)
    times_T = (torch.arange(frames, dtype=torch.float64) + 0.5) / latent.frame_rate_hz
    for start, end, label in sorted(spans, key=lambda span: span[0]):
        token = melody_token(int(label)) if control == "melody" else chord_token(str(label), control)
        tokens_T[(times_T >= start) & (times_T < end)] = token
    return tokens_T


def hit_tokens(clip: Clip, latent: LatentSpec, frames: int) -> Tensor:
    """The drums that are hit in each frame, (T,): bit i stands for drum i of ``KIT``; ``ABSENT`` without annotation."""
    hits = kit_hits(clip.annotation())
    if hits is None:
        return torch.full((frames,), ABSENT)
    tokens_T = torch.zeros(frames, dtype=torch.int64)
    for time, drum in hits:
        frame = int(time * latent.frame_rate_hz + 1e-6)  # a hit on the edge of two frames belongs to the later one
        if 0 <= frame < frames:
            tokens_T[frame] |= 1 << KIT.index(drum)
    return tokens_T


def _annotated_spans(clip: Clip, source: str) -> Spans:
    annotation = clip.annotation()
    return () if annotation is None else getattr(annotation, source)


@torch.no_grad()
def drum_tokens(clips: Sequence[Clip], representation: Representation, frames: Sequence[int]) -> list[Tensor]:
    """The drum control of each clip, (T,), ``ABSENT`` if its drums are not annotated; stems are encoded in batches."""
    spec = representation.spec
    tokens = [torch.full((count,), ABSENT) for count in frames]
    stems: dict[int, list[tuple[int, Tensor]]] = {}
    for i, (clip, count) in enumerate(zip(clips, frames)):
        stem_N = drum_stem(clip.annotation(), clip.seconds, spec.sample_rate)
        if stem_N is not None:
            samples = round(count * spec.sample_rate / spec.frame_rate_hz)
            stems.setdefault(count, []).append((i, fit_length(torch.from_numpy(stem_N)[None], samples)))
    for count, same_length in stems.items():
        for start in range(0, len(same_length), DRUM_CLIPS):
            part = same_length[start : start + DRUM_CLIPS]
            wav_BN = torch.cat([stem for _, stem in part]).to(representation.device)
            z_BTD = blur(representation.encode(wav_BN), spec.frame_rate_hz)
            first_BT = representation.quantise(z_BTD)[:, 0, :count].cpu().long()
            for (i, _), first_T in zip(part, first_BT):
                tokens[i] = first_T
    return tokens


def blur(z_BTD: Tensor, frame_rate_hz: float) -> Tensor:
    """Each run of ``BLUR_SECONDS``, in whole frames, replaced by its mean; the last run may be shorter."""
    frames, run = z_BTD.shape[1], max(1, round(BLUR_SECONDS * frame_rate_hz))
    mean_BDT = nn.functional.avg_pool1d(z_BTD.mT, run, ceil_mode=True)
    return mean_BDT.repeat_interleave(run, dim=2)[..., :frames].mT


def control_origin(clip: Clip, control: str) -> str:
    """Where a clip's control comes from, for records: ``"annotation"``, an extractor's name, or ``"none"``."""
    if control in (DRUMS, DRUM_KIT):
        return "none" if kit_hits(clip.annotation()) is None else "annotation"
    source = SOURCES[control]
    return "annotation" if _annotated_spans(clip, source) else load_extractor(source).name


def control_label(name: str) -> str:
    """The label of a control's files in the store: its name, and a hash of its version and of its extractor's name."""
    extractor = None if name in (DRUMS, DRUM_KIT) else load_extractor(SOURCES[name]).name
    return f"{name}-{config_hash([CONTROL_VERSION, name, extractor])}"


def parse_chords(text: str, seconds: float, tempo: float | None = None) -> list[tuple[float, float, str]]:
    """A progression such as ``"C:4 Am:4 F:4 G:4"`` as (start, end, Harte label), in seconds, over the whole clip.

    The number after the last colon is a length, so a dominant seventh is ``"G7:4"`` or ``"G:7:4"``. With a tempo (beats
    per minute) lengths are beats, and the progression repeats until the clip ends. Without one they are relative, and
    the progression fills the clip once.

    Raises:
        UserError: an unknown label, or a length that is not a positive number.
    """
    items = [_parse_item(item) for item in text.replace(",", " ").split()]
    if not items:
        raise UserError("chords: nothing given; write them like 'C:4 Am:4 F:4 G:4'")
    total = sum(length for _, length in items)
    unit = 60.0 / tempo if tempo else seconds / total
    spans: list[tuple[float, float, str]] = []
    start, i = 0.0, 0
    while start < seconds - 1e-9:
        label, length = items[i % len(items)]
        end = min(start + length * unit, seconds)
        spans.append((start, end, label))
        start, i = end, i + 1
    return spans


def _parse_item(item: str) -> tuple[str, float]:
    """``"Am:4"`` -> its Harte label and its length."""
    label, _, number = item.rpartition(":")
    try:
        length = float(number)
    except ValueError:
        length = 0.0
    if not label or not 0 < length < float("inf"):
        raise UserError(f"chords: {item!r} is not CHORD:LENGTH; write it like 'Am:4' or 'A:min7:2'")
    read_label(label)
    return to_harte(label), length
