"""From a caption to audio: what a system needs around its model; what is made once is cached by content.

    corpus -> representation -> latents (cached) -> text encoder -> model -> training -> sampling -> decoding

``Sources`` holds where things are on this machine; ``identity`` identifies them by content, for records.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import paradigms
from ..backbones import BackboneConfig
from ..common.errors import UserError
from ..common.files import read_json, write_json
from ..common.lines import count
from ..common.seeds import Noise, item_rng, seed_for
from ..corpora import load_corpus
from ..representations import load_representation
from ..representations.base import fit_length
from ..representations.text.encoders import load_text_encoder
from .base import Conditions
from .session import warm_up_count

if TYPE_CHECKING:
    from ..benchmarks.study.study import CorpusChoice
    from ..corpora import Corpus
    from ..representations import LatentSpec, Representation
    from ..representations.latents.controls import ControlSpec
    from ..representations.latents.encoded import LatentStore
    from ..representations.latents.normalisation import Normalisation
    from ..representations.text.encoders import TextEncoder
    from .base import Paradigm


@dataclass(frozen=True)
class Sources:
    """Where this machine finds what a cell names by content: a corpus, and specs of representation and text encoder.

    ``latents``: number format of the cached latents that models are trained on. ``pretraining``: a corpus for
    unconditional pre-training; its captions are not read.
    """

    corpus: CorpusChoice
    representation: str
    text: str
    latents: str = "float32"
    normalisation: Normalisation = "paper"  # of the latents that a model sees
    pretraining: CorpusChoice | None = None


@dataclass(frozen=True)
class Data:
    """A corpus seen through a representation, and the encoder of its captions."""

    sources: Sources
    corpus: Corpus
    representation: Representation
    text: TextEncoder
    store: LatentStore | None = None  # the encoded training clips, where a model is trained
    unlabelled: LatentStore | None = None  # those of another corpus for pre-training

    @property
    def latent(self) -> LatentSpec:
        """What models see, normalisation included."""
        return self.store.spec if self.store is not None else self.representation.spec


def open_corpus(choice: CorpusChoice, captions: bool = True) -> Corpus:
    """The corpus of a study, or with ``captions`` False that of its pre-training."""
    return load_corpus(choice.spec, clips=choice.clips, seconds=choice.seconds, seed=choice.seed, captions=captions)


def load_data(sources: Sources, latents: bool = True, controls: Sequence[str] = ()) -> Data:
    """Load everything except the model.

    Args:
        latents: also load the encoded training clips, from the cache where they are there.
        controls: names of the temporal controls to load with them.
    """
    from ..representations.latents.encoded import encode_corpus

    corpus = open_corpus(sources.corpus)
    representation = load_representation(sources.representation)
    text = load_text_encoder(sources.text, [clip.caption for clip in corpus.clips("train")])
    store = unlabelled = None
    if latents:
        of, dtype = sources.normalisation, sources.latents
        store = encode_corpus(corpus, representation, ("train",), normalisation=of, controls=controls, dtype=dtype)
        if sources.pretraining is not None:
            audio = open_corpus(sources.pretraining, captions=False)
            unlabelled = encode_corpus(audio, representation, ("train",), dtype=dtype)
    return Data(sources, corpus, representation, text, store, unlabelled)


def identity(data: Data) -> dict[str, Any]:
    """What the data is, by content: names and fingerprints, no paths."""
    latents = {} if data.sources.latents == "float32" else {"latents": data.sources.latents}
    return {
        "corpus": {"name": data.corpus.name, "fingerprint": data.corpus.fingerprint},
        "representation": {"name": data.representation.spec.name, "fingerprint": data.representation.fingerprint},
        "text": text_name(data.sources.text),
        **latents,
    }


def text_name(spec: str) -> str:
    """A text encoder's spec with each folder reduced to its name, because a path does not identify content."""
    return "+".join(
        f"{kind}:{Path(where).name}" if where else kind
        for kind, _, where in (s.partition(":") for s in spec.split("+"))
    )


def build_model(
    name: str, options: Mapping[str, Any], backbone: BackboneConfig, data: Data, seed: int,
    controls: Sequence[ControlSpec] = (),
) -> Paradigm:  # fmt: skip
    """A randomly initialised model for ``data``; equal seeds give equal weights."""
    torch.manual_seed(seed_for(seed, "initialisation"))
    return paradigms.build(name, options, backbone, data.latent, data.text.spec, controls)


@dataclass(frozen=True)
class Generated:
    """Clips (n, N) and what they took: seconds of sampling and of decoding, per clip, over the batches in the clock."""

    audio_BN: np.ndarray
    sampling_seconds: float
    decoding_seconds: float

    @property
    def timing(self) -> dict[str, float]:
        """The same as a record has it."""
        parts = {
            "sampling_seconds_per_clip": self.sampling_seconds,
            "decoding_seconds_per_clip": self.decoding_seconds,
        }
        return {"seconds_per_clip": self.sampling_seconds + self.decoding_seconds, **parts}


def generate(
    model: Paradigm, representation: Representation, text: TextEncoder, captions: Sequence[str], seeds: Sequence[int],
    sampler: Any, seconds: float, batch: int = 16, controls: Mapping[str, torch.Tensor] | None = None,
    noise: Noise = "philox",
) -> Generated:  # fmt: skip
    """One clip of ``seconds`` per caption; ``batch`` at a time, on which no clip depends.

    Args:
        controls: name -> one token per frame of each clip (n, T); those left out are withheld.
        noise: how random numbers are drawn (``common.seeds``).

    Raises:
        UserError: less than a frame, or a control that the model was not trained with, or of another length.
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
"""Most times that a batch is drawn for the clock alone; two are enough as a rule, one to capture and one to replay."""


def in_batches(
    draw: Callable[[slice], torch.Tensor], clips: int, batch: int, model: Paradigm, representation: Representation,
    samples: int,
) -> Generated:  # fmt: skip
    """Draw and decode ``clips`` clips, ``batch`` at a time, on the model's device.

    On a GPU the first batch loads kernels, and in others steps may be called for the first time or captured
    (``paradigms.session``). Such batches are left out of the clock, and where that leaves none, the last batch is drawn
    again for the clock alone.

    Args:
        draw: the clips of a part of the prompts, codes or normalised latents.
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
    """Seconds that one batch took, and whether a step was captured or called for the first time meanwhile."""

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
    """Refuse controls that the model cannot read.

    Raises:
        UserError: naming the control and what is expected.
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
    """A progression such as ``"C:4 Am:4"`` (``representations.latents.controls.parse_chords``) as ``generate`` takes it.

    Raises:
        UserError: a bad progression, or the model was not trained with chords.
    """
    from ..representations.latents.control_tokens import span_tokens
    from ..representations.latents.controls import parse_chords

    specs = model.control_conditioner.specs if model.control_conditioner else ()
    name = next((spec.name for spec in specs if spec.name.startswith("chords")), None)
    if name is None:
        raise UserError(f"this {model.name} model was not trained with chords; use one of the study 'control'")
    spans = parse_chords(text, seconds, tempo or None)
    return {name: span_tokens(spans, name, model.latent, model.latent.frames(seconds))[None]}


@torch.no_grad()
def to_audio(drawn: torch.Tensor, model: Paradigm, representation: Representation, samples: int) -> np.ndarray:
    """What a model drew, codes or normalised latents, as waveforms (B, samples), clipped to [-1, 1]."""
    drawn = drawn.to(representation.device)
    z_BTD = representation.dequantise(drawn) if model.view == "codes" else model.latent.denormalise(drawn)
    return fit_length(representation.decode(z_BTD), samples).clamp(-1, 1).cpu().numpy()


def save_model(model: Paradigm, folder: Path, data: Data, sampler: Mapping[str, Any], seconds: float) -> None:
    """``paradigms.save``, and beside it what is needed to go from a caption to audio with this model alone."""
    write_json(
        folder / "pipeline.json",
        {
            "representation": data.sources.representation,
            "representation_fingerprint": data.representation.fingerprint,
            "text": data.sources.text,
            "sampler": dict(sampler),
            "seconds": seconds,
        },
    )
    paradigms.save(model, folder)


@dataclass(frozen=True)
class Loaded:
    """A trained model with everything around it."""

    model: Paradigm
    representation: Representation
    text: TextEncoder
    sampler: dict[str, Any]
    seconds: float


def load_model(folder: Path) -> Loaded:
    """Read what ``save_model`` wrote.

    Raises:
        UserError: no model there, or its representation is not the one it was trained on.
    """
    from ..representations.text.encoders import WordTokeniser

    if not (folder / "pipeline.json").is_file():
        raise UserError(f"{folder}: no trained model in it; give a folder with a pipeline.json, such as runs/.../final")
    about = read_json(folder / "pipeline.json")
    model = paradigms.load(folder)
    representation = load_representation(about["representation"])
    if representation.fingerprint != about["representation_fingerprint"]:
        raise UserError(
            f"{folder}: trained on another version of {about['representation']!r} "
            f"({about['representation_fingerprint']}, now {representation.fingerprint}); "
            "train it anew or restore the old weights"
        )
    spec = model.text_conditioner.spec
    words = spec.kind == "tokens"
    text = WordTokeniser(spec.vocabulary, spec.max_length) if words else load_text_encoder(about["text"])
    return Loaded(model, representation, text, about["sampler"], about["seconds"])
