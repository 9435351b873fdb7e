"""A clip's controls as tokens per latent frame: from its exact annotation where it has one, else by extractors.

Rules of papers/002, appendix C. A frame's time is its middle, so that a change of chord falls on the frame boundary
nearest to it.

    chords   the chord that sounds at the frame's time; none outside annotated spans
    melody   the note that sounds at the frame's time (the one begun last, where several do)
    drums    the drum stem's latents, averaged over 100 ms each, through the codec's first codebook (so many frames are
             one average, repeated); the stem is rendered from annotated hits (corpora/drum_stem.py)

The paper averages 5 frames and trains with controls at 50 Hz, where they last 100 ms. It is the time that is kept here:
5 frames at 25 Hz last 200 ms, which hides where beats are.

Extractors detect chords and melody that are not annotated; a clip without annotated drums has no drum control: its
tokens are ``ABSENT``, which the model sees as its null token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...common.errors import UserError
from ...corpora import Annotation, Clip
from ...corpora.drum_stem import drum_stem
from ...corpora.extractors import load_extractor
from ..base import LatentSpec, Representation, fit_length
from .controls import ABSENT, NO_NOTE, ControlSpec, chord_token, melody_token

VERSION = 2  # raise it with any change that alters a token; part of the cache's key
BLUR_SECONDS = 0.1
DRUMS_AT_ONCE = 16  # clips through the codec


def control_tokens(
    clip: Clip, specs: Sequence[ControlSpec], latent: LatentSpec, representation: Representation, frames: int
) -> dict[str, Tensor]:
    """One token per frame of each control, (T,) int64; ``ABSENT`` throughout where the clip has no such control.

    Raises:
        UserError: an unknown chord label in the annotation, or audio that cannot be read.
    """
    tokens = {spec.name: timed_tokens(clip, spec.name, latent, frames) for spec in specs if spec.name != "drums"}
    if any(spec.name == "drums" for spec in specs):
        tokens["drums"] = drum_tokens([clip], representation, [frames])[0]
    return {spec.name: tokens[spec.name] for spec in specs}


def timed_tokens(clip: Clip, control: str, latent: LatentSpec, frames: int) -> Tensor:
    """Tokens (T,) of a control that is made of labelled spans: chords or melody."""
    kind = "melody" if control == "melody" else "chords"
    spans = annotated_spans(clip.annotation(), kind)
    if not spans:
        spans = load_extractor(kind)(clip.audio(latent.sample_rate), latent.sample_rate)
    try:
        return span_tokens(spans, control, latent, frames)
    except UserError as error:
        raise UserError(f"clip {clip.id}, annotation field {kind}: {error}") from error


def span_tokens(
    spans: Sequence[tuple[float, float, str | int]], control: str, latent: LatentSpec, frames: int
) -> Tensor:
    """Labelled spans (start, end, Harte label or MIDI note), seconds, as tokens (T,).

    Raises:
        UserError: an unknown chord label.
    """

    def token(label: str | int) -> int:
        return melody_token(int(label)) if control == "melody" else chord_token(str(label), control)

    none = NO_NOTE if control == "melody" else chord_token("N", control)
    tokens_T = torch.full((frames,), none, dtype=torch.int64)
    times_T = (torch.arange(frames, dtype=torch.float64) + 0.5) / latent.frame_rate_hz
    for start, end, label in sorted(spans, key=lambda span: span[0]):
        tokens_T[(times_T >= start) & (times_T < end)] = token(label)
    return tokens_T


def annotated_spans(annotation: Annotation | None, kind: str) -> Sequence[tuple[float, float, str | int]]:
    """The annotated chords or melody; empty where there is no annotation."""
    return () if annotation is None else getattr(annotation, kind)


def drum_tokens(clips: Sequence[Clip], representation: Representation, frames: Sequence[int]) -> list[Tensor]:
    """The drum control of each clip, (T,), ``ABSENT`` where its drums are not annotated; encoded in batches."""
    spec = representation.spec
    tokens = [torch.full((count,), ABSENT) for count in frames]
    stems: dict[int, list[tuple[int, Tensor]]] = {}
    for i, (clip, count) in enumerate(zip(clips, frames)):
        stem_N = drum_stem(clip.annotation(), clip.seconds, spec.sample_rate)
        if stem_N is not None:
            samples = round(count * spec.sample_rate / spec.frame_rate_hz)
            stems.setdefault(count, []).append((i, fit_length(torch.from_numpy(stem_N)[None], samples)))
    for count, waiting in stems.items():
        for start in range(0, len(waiting), DRUMS_AT_ONCE):
            part = waiting[start : start + DRUMS_AT_ONCE]
            first_BT = _first_codebook(torch.cat([stem for _, stem in part]), representation)[:, :count]
            for (i, _), first_T in zip(part, first_BT):
                tokens[i] = first_T
    return tokens


@torch.no_grad()
def _first_codebook(wav_BN: Tensor, representation: Representation) -> Tensor:
    """First-codebook entries (B, T) of the latents, blurred."""
    z_BTD = blur(representation.encode(wav_BN.to(representation.device)), representation.spec.frame_rate_hz)
    return representation.quantise(z_BTD)[:, 0].cpu().long()


def blur(z_BTD: Tensor, frame_rate_hz: float) -> Tensor:
    """Each run of ``BLUR_SECONDS``, in whole frames, replaced by its mean; the last run may be shorter."""
    frames, run = z_BTD.shape[1], max(1, round(BLUR_SECONDS * frame_rate_hz))
    mean_BDT = nn.functional.avg_pool1d(z_BTD.mT, run, ceil_mode=True)
    return mean_BDT.repeat_interleave(run, dim=2)[..., :frames].mT


def control_origin(clip: Clip, control: str) -> str:
    """Where a clip's control comes from, for records: ``"annotation"``, an extractor's name, or ``"none"``."""
    annotation = clip.annotation()
    if control == "drums":
        return "none" if drum_stem(annotation, 0.0, 16_000) is None else "annotation"
    kind = "melody" if control == "melody" else "chords"
    return "annotation" if annotated_spans(annotation, kind) else load_extractor(kind).name
