"""Floors, ceilings and baselines: systems without a model, scored like every arm and shown as rows of the same table.

Each makes one clip per prompt from a ``ReferenceContext``. ``real`` is the prompts' own audio, which is disjoint from
the reference set of the distances, so its distance is that of real to real. ``retrieved`` and ``sine_chords``
(baselines.py) are what an arm has to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...common.seeds import seed_for
from ...corpora.clip import Annotation, Clip, Corpus
from . import baselines

if TYPE_CHECKING:
    from ...representations import Representation

ENCODE_AT_ONCE = 16
CEILINGS = ("real", "codec_continuous", "codec_quantised")
BASELINES = ("retrieved", "sine_chords")
FLOORS = ("shuffled_captions", "noise", "silence")


@dataclass(frozen=True)
class ReferenceContext:
    """What a floor, ceiling or baseline is made from.

    Attributes:
        prompts: n clips whose captions are the prompts.
        audio_BN: their own audio (n, N).
        starts: where it begins in each clip, in seconds.
        corpus: its training clips are those that arms are trained on.
        representation: whose ceiling ``codec_*`` are.
        sample_rate: of the audio, in Hz.
        seed: of the cell.
    """

    prompts: Sequence[Clip]
    audio_BN: np.ndarray
    starts: Sequence[float]
    corpus: Corpus
    representation: Representation
    sample_rate: int
    seed: int

    @property
    def training_clips(self) -> list[Clip]:
        """The training clips that are as long as the prompts' audio (to 10 ms)."""
        return long_enough(self.corpus, self.audio_BN.shape[1] / self.sample_rate)


def long_enough(corpus: Corpus, seconds: float) -> list[Clip]:
    """The training clips of ``corpus`` that last ``seconds`` (to 10 ms); empty where it has none."""
    return [clip for clip in corpus.clips_by_split.get("train", ()) if clip.seconds >= seconds - 0.01]


def why_impossible(name: str, prompts: Sequence[Clip], corpus: Corpus, seconds: float) -> str:
    """Why a corpus does not allow the reference ``name``; empty where it does.

    Args:
        seconds: length of a clip.
    """
    if name not in BASELINES:
        return ""
    if not long_enough(corpus, seconds):
        return f"no training clip lasts {seconds:g} s"
    if name == "retrieved" and not all(clip.attributes or clip.caption for clip in prompts):
        return "some prompts have neither attributes nor a caption"
    if name == "sine_chords" and not baselines.have_chords(prompts):
        return "not every prompt has annotated chords"
    return ""


def real(context: ReferenceContext) -> np.ndarray:
    """Held-out real audio of the prompts: the ceiling."""
    return context.audio_BN


def codec_continuous(context: ReferenceContext) -> np.ndarray:
    """Real audio through encoder and decoder: the ceiling of every paradigm over continuous latents."""
    return _coded(context.audio_BN, context.representation, quantised=False)


def codec_quantised(context: ReferenceContext) -> np.ndarray:
    """Real audio through encoder, quantiser and decoder: the ceiling of every paradigm over codes."""
    return _coded(context.audio_BN, context.representation, quantised=True)


def shuffled_captions(context: ReferenceContext) -> np.ndarray:
    """Real audio of another prompt: perfect quality that ignores the caption, the floor of adherence."""
    other: np.ndarray = context.audio_BN[another(len(context.audio_BN), context.seed)]
    return other


def another(n: int, seed: int) -> np.ndarray:
    """The index of another prompt for each of n >= 2 prompts, (n,): one cycle through all, so none keeps its own."""
    order = np.random.default_rng(seed_for(seed, "shuffled_captions")).permutation(n)
    other = np.empty(n, dtype=int)
    other[order] = np.roll(order, 1)
    return other


def noise(context: ReferenceContext) -> np.ndarray:
    """White noise as loud as the real clip (same root mean square)."""
    return as_loud_noise(context.audio_BN, seed_for(context.seed, "noise"))


def as_loud_noise(audio_BN: np.ndarray, seed: int) -> np.ndarray:
    """White noise with the root mean square of each clip (B, N)."""
    rng = np.random.default_rng(seed)
    rms_B1 = np.sqrt(np.mean(np.square(audio_BN), axis=1, keepdims=True))
    noise_BN: np.ndarray = np.clip(rng.standard_normal(audio_BN.shape) * rms_B1, -1, 1)
    return noise_BN.astype(np.float32)


def silence(context: ReferenceContext) -> np.ndarray:
    """Silence."""
    return np.zeros_like(context.audio_BN)


def retrieved(context: ReferenceContext) -> np.ndarray:
    """The beginning of the training clip that is nearest to each caption (``baselines.nearest_clip``)."""
    candidates, samples = context.training_clips, context.audio_BN.shape[1]
    nearest = [baselines.nearest_clip(prompt, candidates, context.seed) for prompt in context.prompts]
    return np.stack([_beginning(clip, context.sample_rate, samples) for clip in nearest])


def sine_chords(context: ReferenceContext) -> np.ndarray:
    """The annotated chords as sines, over a drum loop from a training clip, as loud as the real clip.

    The sines are as loud as what is not percussion in the clip that the loop is from.
    """
    candidates, samples, rate = context.training_clips, context.audio_BN.shape[1], context.sample_rate
    made = []
    for prompt, real_N, start in zip(context.prompts, context.audio_BN, context.starts):
        known = prompt.annotation() or Annotation()
        source = baselines.drum_source(prompt, candidates, context.seed)
        chords = [(begin - start, end - start, label) for begin, end, label in known.chords]
        downbeats = (source.annotation() or Annotation()).downbeats
        first = known.downbeats[0] - start if known.downbeats else 0.0
        drums_N, level = baselines.drum_loop(source.audio(rate), downbeats, first, samples, rate)
        sines_N = baselines.sine_chords(chords, samples, rate)
        own = baselines.root_mean_square(sines_N)
        mix_N = drums_N + sines_N * (level / own if own else 0.0)
        made.append(baselines.with_level(mix_N, baselines.root_mean_square(real_N)))
    return np.stack(made)


REFERENCES: dict[str, Callable[[ReferenceContext], np.ndarray]] = {
    f.__name__: f
    for f in (
        real, codec_continuous, codec_quantised, retrieved, sine_chords, shuffled_captions, noise, silence,
    )
}  # fmt: skip


def _beginning(clip: Clip, sample_rate: int, samples: int) -> np.ndarray:
    """The first ``samples`` of a clip, with zeros for the few that rounding may lack."""
    audio_N = clip.audio(sample_rate)[:samples]
    return np.pad(audio_N, (0, samples - len(audio_N))).astype(np.float32)


def _coded(audio_BN: np.ndarray, representation: Representation, quantised: bool) -> np.ndarray:
    import torch  # here, because reports read this module

    from ...representations.base import fit_length

    parts = []
    with torch.no_grad():
        for start in range(0, len(audio_BN), ENCODE_AT_ONCE):
            z_BTD = representation.encode(torch.from_numpy(audio_BN[start : start + ENCODE_AT_ONCE]))
            if quantised:
                z_BTD = representation.dequantise(representation.quantise(z_BTD))
            parts.append(fit_length(representation.decode(z_BTD), audio_BN.shape[1]).clamp(-1, 1).numpy())
    return np.concatenate(parts)
