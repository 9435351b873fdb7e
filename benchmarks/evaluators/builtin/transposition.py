"""Transposition in training: the same music in another key, for free, since the pitch view's axis is logarithmic.

Only attributes that name a pitch class move with it ("C:major", "F#"); captions do not, so a transposed window takes no
part in the contrast with them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ....corpora.pitch import PITCH_CLASSES, pitch_class

SEMITONES = (-6, 5)  # every other key is reached by the nearer way
SILENCE = -1.0  # what the pitch view holds where there is no energy


def label_turns(values: list[str], missing: int) -> Tensor | None:
    """Class of each value after k semitones up, (12, values), ``missing`` where no class has that name.

    ``None`` where the values are not pitch classes or keys, and so stay as they are.
    """
    parts = [value.partition(":") for value in values]
    try:
        places = [pitch_class(name) for name, _, _ in parts]
    except ValueError:
        return None
    number = {value: i for i, value in enumerate(values)}
    endings = [colon + mode for _, colon, mode in parts]

    def after(k: int) -> list[int]:
        names = [PITCH_CLASSES[(place + k) % 12] + ending for place, ending in zip(places, endings)]
        return [number.get(name, missing) for name in names]

    return torch.tensor([after(k) for k in range(12)])


def transpose(pitch_BCPT: Tensor, semitones_B: Tensor, octaves: int) -> Tensor:
    """Each pitch view moved up by its semitones; what leaves the range is lost, what enters is silence."""
    batch, channels, _, frames = pitch_BCPT.shape
    axis_BOSPT = pitch_BCPT.view(batch, octaves, channels // octaves, 12, frames)
    line_BNST = axis_BOSPT.permute(0, 1, 3, 2, 4).reshape(batch, octaves * 12, -1, frames)
    rows = []
    for line_NST, k in zip(line_BNST, semitones_B.tolist()):
        moved = line_NST.roll(k, 0)
        moved[slice(0, k) if k >= 0 else slice(k, None)] = SILENCE
        rows.append(moved)
    return torch.stack(rows).view(batch, octaves, 12, -1, frames).permute(0, 1, 3, 2, 4).reshape(pitch_BCPT.shape)
