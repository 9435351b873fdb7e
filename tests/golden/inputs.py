"""The inputs of the golden numbers, from seeds: the packages' environments and the tests must see the same arrays.

Only ``Generator.standard_normal`` and ``Generator.random`` of numpy's PCG64 are used, whose streams are fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FRECHET = [
    {"name": "well conditioned", "seed": 1, "n": 400, "m": 300, "d": 16, "shift": 0.5, "scale": 1.3, "rank": 16},
    {"name": "unequal sets", "seed": 2, "n": 900, "m": 200, "d": 64, "shift": 0.1, "scale": 0.8, "rank": 64},
    {"name": "same distribution", "seed": 3, "n": 500, "m": 500, "d": 32, "shift": 0.0, "scale": 1.0, "rank": 32},
    {"name": "far apart", "seed": 4, "n": 300, "m": 300, "d": 8, "shift": 30.0, "scale": 5.0, "rank": 8},
    {"name": "uneven spectrum", "seed": 5, "n": 600, "m": 600, "d": 128, "shift": 0.2, "scale": 1.1, "rank": 128},
    {"name": "two dimensions", "seed": 6, "n": 100, "m": 80, "d": 2, "shift": 1.0, "scale": 2.0, "rank": 2},
    {"name": "nearly singular", "seed": 7, "n": 64, "m": 64, "d": 48, "shift": 0.3, "scale": 1.2, "rank": 40},
]


def frechet_arrays(case: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two sets of embeddings (n, d) and (m, d), correlated, with standard deviations from 1 down to 0.05.

    With ``rank`` < d the remaining directions carry only noise of 1e-4.
    """
    rng = np.random.default_rng(case["seed"])
    d, rank = case["d"], case["rank"]
    spread = np.linspace(1.0, 0.05, d) * np.where(np.arange(d) < rank, 1.0, 1e-4)
    mixing = np.linalg.qr(rng.standard_normal((d, d)))[0] * spread[:, None]
    first = rng.standard_normal((case["n"], d)) @ mixing
    second = case["shift"] + case["scale"] * rng.standard_normal((case["m"], d)) @ mixing
    return first, second


SHARES = (1.0, 0.7, 0.4, 0.0)
CHROMA = [
    {"name": f"{rate} Hz, {share:.0%} alike", "seed": seed, "sample_rate": rate, "seconds": seconds, "share": share}
    for seed, (rate, seconds, share) in enumerate(
        [(rate, seconds, share) for rate, seconds in ((16000, 8.0), (32000, 5.0), (44100, 10.0)) for share in SHARES]
    )
]


def chroma_pair(case: dict[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two melodies (N,) of half-second notes with four harmonics, of which a ``share`` is alike, in a little noise."""
    rng = np.random.default_rng(case["seed"])
    rate, beats = case["sample_rate"], int(2 * case["seconds"])
    notes = 48 + np.floor(24 * rng.random(beats))
    others = 48 + np.floor(24 * rng.random(beats))
    pair = notes, np.where(rng.random(beats) < case["share"], notes, others)
    first, second = (_melody(line, rate) + 0.01 * rng.standard_normal(beats * (rate // 2)) for line in pair)
    return first.astype(np.float32), second.astype(np.float32)


def _melody(notes: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """MIDI notes, half a second each, as (N,)."""
    t = np.arange(sample_rate // 2) / sample_rate
    fade = np.minimum(1.0, 200 * np.minimum(t, t[-1] - t))
    tones = [sum(np.sin(2 * np.pi * k * 440 * 2 ** ((note - 69) / 12) * t) / k for k in range(1, 5)) for note in notes]
    return 0.2 * np.concatenate([tone * fade for tone in tones])
