"""Entropy of an autoregressive model's first codebook at every sampling step (Tal et al. 2025, appendix I).

It is measured while sampling, so the context of each step is what the model itself has generated. Both distributions
are taken after guidance and temperature: ``sampled`` is the one that the code is drawn from, after top-k and top-p;
``whole`` is the one before them, over all codes. The paper records "the token probability over the first EnCodec
codebook stream at every sampling step" and does not say which of the two.
"""

from __future__ import annotations

import csv
import io

import numpy as np

from .statistics import interval

DISTRIBUTIONS = ("sampled", "whole")
EARLY_STEPS = 50  # Tal et al. 2025, figure 9: below the baseline in the first 50 steps or so, above it later


def per_clip(entropy_BT2: np.ndarray) -> dict[str, np.ndarray]:
    """Mean entropy of each clip, (B,), over the first ``EARLY_STEPS`` steps and over the rest (NaN if there is none).

    Args:
        entropy_BT2: of B clips at T steps, of the distributions ``DISTRIBUTIONS``, in nats.
    """
    early, late = entropy_BT2[:, :EARLY_STEPS], entropy_BT2[:, EARLY_STEPS:]
    found = {}
    for i, name in enumerate(DISTRIBUTIONS):
        suffix = "" if name == "sampled" else f"_{name}"
        found[f"entropy_early{suffix}"] = early[..., i].mean(axis=1)
        found[f"entropy_late{suffix}"] = late[..., i].mean(axis=1) if late.shape[1] else np.full(len(late), np.nan)
    return found


def curve_csv(entropy_BT2: np.ndarray) -> str:
    """CSV with one line per step, counted from 1: n, and the mean over clips with its 95% interval in nats, of both."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    ends = [f"{name}{end}" for name in DISTRIBUTIONS for end in ("", "_low", "_high")]
    writer.writerow(["step", "n", *ends])
    for step, entropy_B2 in enumerate(entropy_BT2.swapaxes(0, 1), start=1):
        found = [interval(entropy_B2[:, i]) for i in range(len(DISTRIBUTIONS))]
        numbers = [f"{number:.5g}" for one in found for number in (one.estimate, one.low, one.high)]
        writer.writerow([step, len(entropy_B2), *numbers])
    return buffer.getvalue()
