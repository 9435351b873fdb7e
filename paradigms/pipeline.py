"""From a caption to audio: a trained model together with its representation and its text encoder.

    caption -> text encoder -> model (sampling) -> codes or normalised latents -> representation (decoding) -> waveform

``load_model`` reads what ``save_model`` wrote; ``generate`` makes clips and says how long they took.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import paradigms
from ..common.config import from_dict, to_dict
from ..common.errors import UserError
from ..common.files import read_json, write_json
from ..common.lines import count
from ..common.seeds import Noise, item_rng
from ..representations import load_representation
from ..representations.base import Representation, fit_length
from ..representations.latents.controls import parse_chords, span_tokens
from ..representations.text.encoders import TextEncoder, WordTokeniser, load_text_encoder
from .base import Conditions, Paradigm
from .session import warm_up_count


@dataclass(frozen=True)
class PipelineSettings:
    """What a folder of a trained model keeps beside the model, in pipeline.json.

    Attributes:
        representation, text: specs of the representation and of the text encoder.
        representation_fingerprint: content of the representation that the model was trained on.
        sampler: default settings of the sampler.
        seconds: length of the training crops, and default length of a clip.
    """

    representation: str
    representation_fingerprint: str
    text: str
    sampler: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Pipeline:
    """A trained model with what it needs to go from a caption to audio; see ``PipelineSettings``."""

    model: Paradigm
    representation: Representation
    text: TextEncoder
    sampler: dict[str, Any]
    seconds: float


def save_model(model: Paradigm, folder: Path, settings: PipelineSettings) -> None:
    """Write ``model`` with ``paradigms.save``, and ``settings`` beside it."""
    write_json(folder / "pipeline.json", to_dict(settings))
    paradigms.save(model, folder)


def read_settings(folder: Path) -> PipelineSettings:
    """The settings in the folder of a trained model.

    Raises:
        UserError: there is no trained model in it.
    """
    path = folder / "pipeline.json"
    if not path.is_file():
        raise UserError(f"{folder}: no trained model in it; give a folder with a pipeline.json, such as runs/.../final")
    return from_dict(PipelineSettings, read_json(path), str(path))


def load_model(folder: Path) -> Pipeline:
    """Read a trained model, and load the representation and the text encoder it was trained with.

    Raises:
        UserError: no model there, or its representation is not the one it was trained on.
    """
    settings, model = read_settings(folder), paradigms.load(folder)
    representation = load_representation(settings.representation)
    if representation.fingerprint != settings.representation_fingerprint:
        raise UserError(
            f"{folder}: trained on another version of {settings.representation!r} "
            f"({settings.representation_fingerprint}, now {representation.fingerprint}); "
            "train it anew or restore the old weights"
        )
    spec = model.text_conditioner.spec
    words = spec.kind == "tokens"
    text = WordTokeniser(spec.vocabulary, spec.max_length) if words else load_text_encoder(settings.text)
    return Pipeline(model, representation, text, settings.sampler, settings.seconds)


@dataclass(frozen=True)
class Generated:
    """Clips, and the time that they took.

    Attributes:
        audio_BN: waveforms (clips, samples).
        sampling_seconds, decoding_seconds: mean per clip, over the batches that were timed.
    """

    audio_BN: np.ndarray
    sampling_seconds: float
    decoding_seconds: float

    @property
    def timing(self) -> dict[str, float]:
        """The times by their names in records."""
        return {
            "seconds_per_clip": self.sampling_seconds + self.decoding_seconds,
            "sampling_seconds_per_clip": self.sampling_seconds,
            "decoding_seconds_per_clip": self.decoding_seconds,
        }


def generate(
    model: Paradigm, representation: Representation, text: TextEncoder, captions: Sequence[str], seeds: Sequence[int],
    sampler: Any, seconds: float, batch: int = 16, controls: Mapping[str, torch.Tensor] | None = None,
    noise: Noise = "philox",
) -> Generated:  # fmt: skip
    """Generate one clip of ``seconds`` per caption, ``batch`` clips at a time; no clip depends on the others.

    Args:
        controls: name -> one token per frame of each clip, (n, T); other controls are withheld.
        noise: how random numbers are drawn (``common.seeds``).

    Raises:
        UserError: ``seconds`` is less than a frame, or a control is unknown to the model or of another length.
    """
    device = next(model.parameters()).device
    frames = model.latent.frames(seconds)
    if frames < 1:
        raise UserError(
            f"a clip of {seconds:g} s is shorter than a latent frame, {1 / model.latent.frame_rate_hz:g} s; lengthen it"
        )
    samples = round(seconds * representation.spec.sample_rate)
    check_controls(model, controls or {}, len(captions), frames)

    def draw(part: slice) -> torch.Tensor:
        encoded, mask_BL = text.encode(list(captions[part]))
        asked = {name: tokens_BT[part] for name, tokens_BT in (controls or {}).items()}
        conditions = Conditions(encoded, mask_BL, asked).to(device)
        return model.generate(conditions, frames, sampler, item_rng(seeds[part], device, noise))

    return in_batches(draw, len(captions), batch, model, representation, samples)


RETRIES = 4
"""Most times that a batch is generated for its timing alone; two usually do, one to capture and one to replay."""


def in_batches(
    draw: Callable[[slice], torch.Tensor], clips: int, batch: int, model: Paradigm, representation: Representation,
    samples: int,
) -> Generated:  # fmt: skip
    """Sample and decode ``clips`` clips, ``batch`` at a time, on the model's device.

    On a GPU the first batch loads kernels, and in others steps may be called for the first time or captured
    (``paradigms.session``). Such batches are not timed; where that leaves none, the last batch is generated again for
    its timing alone.

    Args:
        draw: generates the clips of a part of the prompts, codes or normalised latents.
        samples: length of each clip.
    """
    device = next(model.parameters()).device
    parts = [slice(start, min(start + batch, clips)) for start in range(0, clips, batch)]
    made, timed = [], list[_Timed]()
    with _on(representation, device):
        for i, part in enumerate(parts):
            audio_BN, seconds = _timed(draw, part, model, representation, samples)
            made.append(audio_BN)
            if device.type == "cpu" or (i > 0 and not seconds.warms_up):
                timed.append(seconds)
        retries = 0
        while parts and not timed:
            retries += 1
            _, seconds = _timed(draw, parts[-1], model, representation, samples)
            if not seconds.warms_up or retries == RETRIES:
                timed.append(seconds)
    n = max(1, sum(one.clips for one in timed))
    return Generated(
        np.concatenate(made), sum(one.sampling for one in timed) / n, sum(one.decoding for one in timed) / n
    )


@dataclass(frozen=True)
class _Timed:
    """Seconds that one batch took, and whether a step was captured or called for the first time in it."""

    clips: int
    sampling: float
    decoding: float
    warms_up: bool


def _timed(
    draw: Callable[[slice], torch.Tensor], part: slice, model: Paradigm, representation: Representation, samples: int
) -> tuple[np.ndarray, _Timed]:
    before, begun = warm_up_count(), time.perf_counter()
    drawn = draw(part)
    _wait_for(drawn.device)
    drawn_at = time.perf_counter()
    audio_BN = to_audio(drawn, model, representation, samples)
    ended, warms_up = time.perf_counter(), warm_up_count() > before
    return audio_BN, _Timed(part.stop - part.start, drawn_at - begun, ended - drawn_at, warms_up)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def _on(representation: Representation, device: torch.device) -> Iterator[None]:
    """Keep the codec on ``device`` while the context is open, then move it back."""
    before = representation.device
    representation.to(device)
    try:
        yield
    finally:
        representation.to(before)


def check_controls(model: Paradigm, controls: Mapping[str, torch.Tensor], clips: int, frames: int) -> None:
    """Check that the model can read the given controls.

    Raises:
        UserError: it cannot; the message names the control and what is expected.
    """
    specs = {spec.name: spec for spec in model.control_conditioner.specs} if model.control_conditioner else {}
    for name, tokens_BT in controls.items():
        if name not in specs:
            known = f"; it has {', '.join(specs)}" if specs else "; train it with controls.names"
            raise UserError(f"control {name!r}: this {model.name} model was not trained with it{known}")
        if tuple(tokens_BT.shape) != (clips, frames):
            given = " x ".join(map(str, tokens_BT.shape))
            raise UserError(
                f"control {name!r}: tokens of shape {given}; expected {count(clips, 'clip')} x {count(frames, 'frame')}"
            )
        if int(tokens_BT.max()) >= specs[name].cardinality:
            raise UserError(f"control {name!r}: token {int(tokens_BT.max())} is not below {specs[name].cardinality}")


def chord_control(model: Paradigm, text: str, seconds: float, tempo: float = 0.0) -> dict[str, torch.Tensor]:
    """A chord progression such as ``"C:4 Am:4"``, parsed by ``parse_chords``, in the form that ``generate`` takes.

    Raises:
        UserError: a bad progression, or the model was not trained with chords.
    """
    specs = model.control_conditioner.specs if model.control_conditioner else ()
    name = next((spec.name for spec in specs if spec.name.startswith("chords")), None)
    if name is None:
        raise UserError(f"this {model.name} model was not trained with chords; use one of the study 'control'")
    spans = parse_chords(text, seconds, tempo or None)
    return {name: span_tokens(spans, name, model.latent, model.latent.frames(seconds))[None]}


@torch.no_grad()
def to_audio(drawn: torch.Tensor, model: Paradigm, representation: Representation, samples: int) -> np.ndarray:
    """Decode the output of a model, codes or normalised latents, to waveforms (B, samples), clipped to [-1, 1]."""
    drawn = drawn.to(representation.device)
    z_BTD = representation.dequantise(drawn) if model.view == "codes" else model.latent.denormalise(drawn)
    return fit_length(representation.decode(z_BTD), samples).clamp(-1, 1).cpu().numpy()
