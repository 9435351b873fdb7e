"""Filling a span of a clip: choice of the span, and waveform -> latents -> model -> waveform.

A span is a run of latent frames. Outside it the model returns the latents that it was given, so the audio there is the
codec's resynthesis of the original. ``EDITS`` fill the span without a model; they are floors of the axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....common.errors import UserError
from ....common.seeds import Noise, item_rng, seed_for
from ....paradigms.base import Conditions, Paradigm
from ....paradigms.pipeline import Generated, in_batches
from ....representations import LatentSpec, Representation
from ....representations.base import fit_length
from ....representations.text.encoders import TextEncoder
from ...study.references import another

FROZEN = 0.05  # seconds that the floor ``frozen`` repeats


@dataclass(frozen=True)
class Span:
    """Frames ``start`` to ``end`` (excluded) of a clip of ``frames``, at ``frame_rate_hz``."""

    start: int
    end: int
    frames: int
    frame_rate_hz: float

    @property
    def known(self) -> Tensor:
        """Boolean mask (T,) of the frames outside the span."""
        frame = torch.arange(self.frames)
        return (frame < self.start) | (frame >= self.end)

    @property
    def boundaries(self) -> tuple[float, float]:
        """Beginning and end in seconds."""
        return self.start / self.frame_rate_hz, self.end / self.frame_rate_hz

    def samples(self, sample_rate: int) -> slice:
        """The samples of the span at ``sample_rate`` Hz."""
        start, end = (round(time * sample_rate) for time in self.boundaries)
        return slice(start, end)


def span_between(start: float, end: float, seconds: float, latent: LatentSpec, where: str) -> Span:
    """The span nearest to ``start``..``end`` seconds of a clip of ``seconds``.

    Raises:
        UserError: it is empty, reaches beyond the clip, or leaves nothing known.
    """
    frames = latent.frames(seconds)
    if start < 0:
        raise UserError(f"{where}: --from is {start:g} s but must be 0 or more")
    if not start < end:  # so that NaN is refused too
        raise UserError(f"{where}: --from ({start:g} s) must come before --to ({end:g} s)")
    if end > seconds + 1e-9:
        raise UserError(f"{where}: --to is {end:g} s but the file lasts {seconds:g} s")
    first, last = min(latent.frames(start), frames), min(latent.frames(end), frames)
    if last <= first:
        raise UserError(
            f"{where}: {start:g} to {end:g} s is shorter than a latent frame, {1 / latent.frame_rate_hz:g} s; widen it"
        )
    if last - first == frames:
        raise UserError(f"{where}: {start:g} to {end:g} s is the whole clip; leave a part of it, or use bench sample")
    return Span(first, last, frames, latent.frame_rate_hz)


def drawn_spans(
    names: Sequence[str], seconds: float, hidden: float, margin: float, latent: LatentSpec, where: str
) -> list[Span]:
    """One span of ``hidden`` seconds per clip, with a uniform start and at least ``margin`` known seconds on both
    sides.

    The span is always inside the clip. That of the published algorithms, T / 2 long from U(0.1 T, 0.9 T), is not
    (inconsistency X16 of the published claims).

    Args:
        names: of the clips; the start depends on nothing else.
        seconds: length of the clips.
        where: beginning of the error's message.

    Raises:
        UserError: span and margins do not fit the clip.
    """
    frames, length, side = (latent.frames(value) for value in (seconds, hidden, margin))
    places = frames - length - 2 * side + 1
    if places < 1 or length < 1 or length == frames:
        raise UserError(
            f"{where}: a span of {hidden:g} s and {margin:g} s on both sides exceed {seconds:g} s; shorten it"
        )
    starts = [side + seed_for("span", name) % places // latent.group * latent.group for name in names]
    return [Span(start, start + length, frames, latent.frame_rate_hz) for start in starts]


def inpaint(
    model: Paradigm, representation: Representation, text: TextEncoder, captions: Sequence[str], seeds: Sequence[int],
    sampler: Any, audio_BN: np.ndarray, spans: Sequence[Span], batch: int = 16, noise: Noise = "philox",
) -> Generated:  # fmt: skip
    """Clips with their spans filled, ``batch`` at a time; the result of a clip does not depend on it.

    Args:
        audio_BN: the clips (n, N), at the representation's rate.
        spans: one per clip, of equal lengths.
        noise: how random numbers are drawn (``common.seeds``).

    Raises:
        UserError: the paradigm cannot fill spans.
    """
    if not model.inpaints:
        raise UserError(f"paradigm {model.name!r} cannot inpaint; choose another")

    def draw(part: slice) -> Tensor:
        target = encode(audio_BN[part], model, representation, spans[part.start].frames)
        return fill(model, text, captions[part], seeds[part], sampler, target, spans[part], noise)

    return in_batches(draw, len(captions), batch, model, representation, audio_BN.shape[1])


@torch.no_grad()
def encode(audio_BN: np.ndarray, model: Paradigm, representation: Representation, frames: int) -> Tensor:
    """Waveforms (B, N) as the model's input: codes (B, K, T) or normalised latents (B, T, D)."""
    spec = representation.spec
    samples = round(frames * spec.sample_rate / spec.frame_rate_hz)
    wav_BN = torch.from_numpy(np.ascontiguousarray(audio_BN)).to(representation.device)
    z_BTD = representation.encode(fit_length(wav_BN, samples))[:, :frames]
    return representation.quantise(z_BTD) if model.view == "codes" else model.latent.normalise(z_BTD)


def fill(
    model: Paradigm, text: TextEncoder, captions: Sequence[str], seeds: Sequence[int], sampler: Any, target: Tensor,
    spans: Sequence[Span], noise: Noise = "philox",
) -> Tensor:  # fmt: skip
    """``target``, codes (B, K, T) or latents (B, T, D), with the spans filled by the model; on the model's device."""
    device = next(model.parameters()).device
    known_BT = torch.stack([span.known for span in spans]).to(device)
    conditions = Conditions(*text.encode(list(captions))).to(device)
    return model.inpaint(target.to(device), known_BT, conditions, sampler, item_rng(seeds, device, noise))


def splice(audio_BN: np.ndarray, spans: Sequence[Span], sample_rate: int, seed: int) -> np.ndarray:
    """Clips with another prompt's audio in the span, without a fade: the floor for seams and similarity."""
    edited_BN = audio_BN.copy()
    for row, (other, span) in enumerate(zip(another(len(audio_BN), seed), spans)):
        edited_BN[row, span.samples(sample_rate)] = audio_BN[other, span.samples(sample_rate)]
    return edited_BN


def silence(audio_BN: np.ndarray, spans: Sequence[Span], sample_rate: int, seed: int) -> np.ndarray:
    """Clips with silence in the span."""
    edited_BN = audio_BN.copy()
    for row, span in enumerate(spans):
        edited_BN[row, span.samples(sample_rate)] = 0.0
    return edited_BN


def frozen(audio_BN: np.ndarray, spans: Sequence[Span], sample_rate: int, seed: int) -> np.ndarray:
    """Clips with the last 50 ms before the span repeated to its end: nothing jumps at first, and nothing happens."""
    edited_BN = audio_BN.copy()
    for row, span in enumerate(spans):
        inside = span.samples(sample_rate)
        last_N = audio_BN[row, max(inside.start - round(FROZEN * sample_rate), 0) : inside.start]
        edited_BN[row, inside] = np.resize(last_N, inside.stop - inside.start)  # zeros where nothing comes before
    return edited_BN


EDITS: dict[str, Callable[[np.ndarray, Sequence[Span], int, int], np.ndarray]] = {
    f.__name__: f for f in (splice, silence, frozen)
}
