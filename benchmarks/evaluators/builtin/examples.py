"""What the listener learns from: windows of a corpus as they are, with noise, and as a codec gives them back.

A classifier that has heard clean audio only misjudges what comes out of a codec, and every arm's output does. So each
clip is also heard after the codec: from its continuous latents, from its codes, and from latents with noise on them,
since a generative model's latents are never exact. Both views (``frontend.py``) are computed once and kept as float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....common.seeds import seed_for
from ....corpora.clip import Clip
from .. import audio as policy
from .evaluator import OPENING_ATTRIBUTES
from .frontend import SAMPLE_RATE, Frontend

if TYPE_CHECKING:
    from ....representations.base import Representation

Wav = NDArray[np.float32]
NOISE_DB = (10.0, 40.0)  # signal-to-noise ratios of half of the clean examples
LATENT_NOISE = (0.1, 0.5)  # standard deviations, relative to the clip's own latents, in the blurred examples
MAX_WINDOWS = 4  # of one clip, and of its reconstruction
MISSING = -1


@dataclass(frozen=True)
class Examples:
    """Windows ready to learn from, N in all.

    Attributes:
        pitch_NCPT, mel_NMT: the two views, float16.
        labels: attribute -> class numbers (N,), -1 where the clip does not say.
        clip_N: which clip (its place in the list given) each window is of.
    """

    pitch_NCPT: Tensor
    mel_NMT: Tensor
    labels: dict[str, Tensor]
    clip_N: Tensor


def class_lists(clips: Sequence[Clip]) -> dict[str, list[str]]:
    """Attribute -> sorted values over ``clips``, without the attributes that have fewer than two."""
    values: dict[str, set[str]] = {}
    for clip in clips:
        for name, value in clip.attributes.items():
            values.setdefault(name, set()).add(value)
    return {name: sorted(found) for name, found in sorted(values.items()) if len(found) > 1}


def forms_of(codec: Representation) -> tuple[str, ...]:
    """The ways through a codec: ``continuous`` latents, ``blurred`` ones and, with codebooks, ``codes``."""
    return ("continuous", "codes", "blurred") if codec.spec.codebooks else ("continuous", "blurred")


def reconstruct(wav: Wav, codec: Representation, form: str, seed: int) -> Wav:
    """A clip (N,) at the codec's sample rate through the codec in one of its ``forms_of``."""
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        z_1TD = codec.encode(torch.from_numpy(wav)[None])
        if form == "codes":
            z_1TD = codec.dequantise(codec.quantise(z_1TD))
        elif form == "blurred":
            amount = LATENT_NOISE[0] + (LATENT_NOISE[1] - LATENT_NOISE[0]) * torch.rand((), generator=rng)
            z_1TD = z_1TD + z_1TD.std() * amount * torch.randn(z_1TD.shape, generator=rng)
        return codec.decode(z_1TD)[0].numpy()


def gather(
    clips: Sequence[Clip],
    classes: dict[str, list[str]],
    codec: Representation | None,
    reconstructed: int,
    window: int,
    seed: int,
    track: Callable[[Iterable[Clip]], Iterable[Clip]],
) -> Examples:
    """Examples of every clip: its own sound and, for the first ``reconstructed``, the codec's in one form by turns.

    Args:
        window: samples per window; a long clip gives up to four, and so does its reconstruction.
        track: wraps the clips to show progress.
    """
    frontend, views, owners, openings = Frontend(), [], [], []
    for i, clip in enumerate(track(clips)):
        form = forms_of(codec)[i % len(forms_of(codec))] if codec is not None and i < reconstructed else None
        for wav, opening in _windows(clip, codec, form, window, seed):
            with torch.inference_mode():
                views.append([view[0].half() for view in frontend(torch.from_numpy(wav)[None])])
            owners.append(i)
            openings.append(opening)
    clip_N, opening_N = torch.tensor(owners), torch.tensor(openings)
    labels = {}
    for name, values in classes.items():
        number = {value: n for n, value in enumerate(values)}
        label_N = torch.tensor([number.get(clip.attributes.get(name, ""), MISSING) for clip in clips])[clip_N]
        labels[name] = torch.where(opening_N, label_N, MISSING) if name in OPENING_ATTRIBUTES else label_N
    pitch_N, mel_N = zip(*views)
    return Examples(torch.stack(pitch_N), torch.stack(mel_N), labels, clip_N)


def _windows(
    clip: Clip, codec: Representation | None, form: str | None, window: int, seed: int
) -> Iterator[tuple[Wav, bool]]:
    """Windows of the clip and of its reconstruction, and whether each is the first."""
    rng = np.random.default_rng(seed_for(seed, clip.id))
    heard = [_with_noise(policy.prepare(clip.audio(SAMPLE_RATE), SAMPLE_RATE, SAMPLE_RATE), rng)]
    if codec is not None and form is not None:
        rate = codec.spec.sample_rate
        recovered = reconstruct(clip.audio(rate), codec, form, seed_for(seed, clip.id, "blur"))
        heard.append(policy.prepare(recovered, rate, SAMPLE_RATE))
    for wav in heard:
        parts = policy.windows(wav, window)
        for pick in np.sort(rng.permutation(len(parts))[:MAX_WINDOWS]):
            yield parts[pick], bool(pick == 0)


def _with_noise(wav: Wav, rng: np.random.Generator) -> Wav:
    """White noise at a random level on every second clip."""
    if rng.integers(2):
        return wav
    level = np.sqrt(np.mean(wav**2)) * 10 ** (-rng.uniform(*NOISE_DB) / 20)
    return (wav + level * rng.standard_normal(len(wav))).astype(np.float32)
