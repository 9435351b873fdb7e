"""Golden values of set-level metrics from the packages of their authors: mauve-text 0.4.0 and prdc 0.2.

    python -m venv gold && gold/bin/pip install mauve-text==0.4.0 prdc==0.2
    gold/bin/python tests/golden/make_metric_goldens.py > tests/golden/metrics.json

The arrays are not stored: ``arrays`` makes them from a seed, here and in the test. Equal histograms are left out: there
all points of the curve coincide, and the order in which the package sorts them decides its area (0.75, not 1).
"""

from __future__ import annotations

import contextlib
import json
import sys

import numpy as np

CASES = {"near": (0, 0.2), "far": (1, 1.5), "same": (2, 0.0)}  # name -> (seed, shift of the generated set)
HISTOGRAMS = [([4, 3, 2, 1], [1, 2, 3, 4]), ([5, 5, 0, 0], [0, 0, 5, 5]), ([9, 1], [1, 9])]


def arrays(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Reference (120, 16) and generated (100, 16), correlated normal."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(16, 16))
    return rng.normal(size=(120, 16)) @ mix, rng.normal(size=(100, 16)) @ mix + shift


def islands(shares: tuple[int, ...], n: int, seed: int) -> np.ndarray:
    """``n`` points on well separated unit directions, share by share, so that every k-means finds the same clusters."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(shares)), np.array(shares) * n // sum(shares))
    return 10 * np.eye(len(shares))[labels] + rng.normal(0, 0.05, (len(labels), len(shares)))


ISLANDS = ((4, 3, 2, 1), (1, 2, 3, 4))  # generated, reference; 40 points each make 4 clusters


def main() -> None:
    import mauve
    from mauve.compute_mauve import compute_area_under_curve, get_divergence_curve_for_multinomials
    from prdc import compute_prdc

    def area(p: list[int], q: list[int]) -> float:
        shares = [np.array(side) / sum(side) for side in (p, q)]
        weights = np.linspace(1e-6, 1 - 1e-6, 25)
        x, y = get_divergence_curve_for_multinomials(*shares, weights, 5).T
        first, second = np.argsort(x), np.argsort(y)
        return (compute_area_under_curve(x[first], y[first]) + compute_area_under_curve(y[second], x[second])) / 2

    found = {"mauve_of_histograms": [area(p, q) for p, q in HISTOGRAMS], "prdc": {}}
    with contextlib.redirect_stdout(sys.stderr):
        generated, reference = islands(ISLANDS[0], 40, 0), islands(ISLANDS[1], 40, 1)
        found["mauve_of_islands"] = mauve.compute_mauve(p_features=generated, q_features=reference).mauve
        for name, (seed, shift) in CASES.items():
            x, y = arrays(seed, shift)
            found["prdc"][name] = {key: float(value) for key, value in compute_prdc(x, y, nearest_k=5).items()}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
