"""A script in the protocol of the evaluators' environments that needs numpy only; copied beside exchange.py to run."""

# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy", "safetensors"]
#
# [tool.bench]
# about = "band energies"
# licence = "Apache-2.0"
# check = "evaluate"
# window-seconds = 1.0
#
# [tool.bench.models]
# bands = 8000
# nan = 8000
# dies = 8000
# short = 8000
# slow = 8000
# restless = 8000
# ///

from __future__ import annotations

import time

import numpy as np
from exchange import Reply, Request, ScriptError, serve


def evaluate(request: Request) -> Reply:
    """Log energies of 8 bands; shares of each as posteriors; peak as a score; a caption's first letters as a text."""
    if request.model == "dies":
        raise MemoryError("no room for the network")
    if request.model == "slow":
        time.sleep(30)
    if not request.random and request.weights is None:
        raise ScriptError("no weights; put bands.bin somewhere")
    spectra = [np.abs(np.fft.rfft(clip.astype(np.float64), 8000)[:4000]) ** 2 for clip in request.clips]
    energy_NB = np.stack([spectrum.reshape(8, -1).sum(1) + 1e-9 for spectrum in spectra])
    arrays = {
        "embedding": np.log(energy_NB),
        "posterior/band": energy_NB / energy_NB.sum(1, keepdims=True),
        "score/peak": np.array([np.abs(clip).max() for clip in request.clips]),
    }
    if request.captions:
        arrays["text"] = np.array([[float(ord(c)) for c in f"{caption:8}"[:8]] for caption in request.captions])
    if request.model == "nan":
        arrays["embedding"][0, 0] = np.nan
    if request.model == "short":
        arrays["embedding"] = arrays["embedding"][:-1]
    weights = str(time.time()) if request.model == "restless" else "none"
    return Reply(arrays, weights)


if __name__ == "__main__":
    serve({"evaluate": evaluate}, ["numpy"])
