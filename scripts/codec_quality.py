"""What a codec or VAE loses: SI-SNR, level of each octave, Frechet distance by musicnn, and the speed of decoding.

    python scripts/codec_quality.py codec_builtin vae_builtin
    python scripts/codec_quality.py codec_builtin --corpus builtin --corpus ../shared/realdata/music --json

Clips are the first 4 s of the first 64 of the test split; the distance is to the first 128 of the training split, and
the row ``real`` is that of the test clips themselves. Levels are means over clips in dB, decoded less original, of the
octaves that begin at 250 Hz, 500 Hz, ... 4 kHz. Speed is seconds of audio per CPU second on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from checkout import use_checkout
from numpy.typing import NDArray

use_checkout()

from paradigm_bench.benchmarks.evaluators.judges.musicnn import Musicnn
from paradigm_bench.benchmarks.evaluators.judges.weights import PACKAGES
from paradigm_bench.benchmarks.metrics.bands import octave_levels
from paradigm_bench.benchmarks.metrics.frechet import frechet_distance
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.base import Representation
from paradigm_bench.representations.codecs.losses import si_snr

RATE, SECONDS, TEST, TRAINING, FROM_OCTAVE = 16_000, 4.0, 64, 128, 2

Clips = NDArray[np.float32]


def clips(spec: str, split: str, n: int) -> Clips:
    """The beginnings of the first ``n`` clips of a split, (n, N); shorter ones end in silence."""
    size = round(SECONDS * RATE)
    found = [clip.audio(RATE)[:size] for clip in load_corpus(spec, captions=False).clips(split)[:n]]
    return np.stack([np.pad(wav_N, (0, size - len(wav_N))).astype(np.float32) for wav_N in found])


def decoded(codec: Representation, wav_BN: torch.Tensor) -> tuple[dict[str, torch.Tensor], float]:
    """The clips through each view of the codec, (B, N) each, and the CPU seconds of decoding the first."""
    with torch.inference_mode():
        latents = {"continuous": torch.cat([codec.encode(part_BN) for part_BN in wav_BN.split(16)])}
        if codec.spec.codebooks:
            latents["quantised"] = codec.dequantise(codec.quantise(latents["continuous"]))
        started = time.process_time()
        heard = {"continuous": torch.cat([codec.decode(z_BTD) for z_BTD in latents["continuous"].split(1)])}
        spent = time.process_time() - started
        if "quantised" in latents:
            heard["quantised"] = torch.cat([codec.decode(z_BTD) for z_BTD in latents["quantised"].split(16)])
    return {view: heard_BN[:, : wav_BN.shape[1]] for view, heard_BN in heard.items()}, spent


def levels(wav_BN: Clips) -> NDArray[np.float64]:
    """Mean level of each octave from 250 Hz, in dB."""
    octaves: NDArray[np.float64] = np.mean([octave_levels(wav_N, RATE) for wav_N in wav_BN], axis=0)[FROM_OCTAVE:]
    return octaves


def quality(names: list[str], corpora: list[str]) -> list[dict[str, Any]]:
    """One row per corpus, representation and view, as the module's docstring describes them."""
    judge, rows = Musicnn(PACKAGES["musicnn"]), []
    for corpus in corpora:
        test_BN = clips(corpus, "test", TEST)
        reference_ND, real = judge.embed(list(clips(corpus, "train", TRAINING)), RATE), levels(test_BN)
        apart = frechet_distance(reference_ND, judge.embed(list(test_BN), RATE)).value
        rows.append({"corpus": corpus, "system": "real", "view": "", "fad_musicnn": round(apart, 1)})
        for name in names:
            views, spent = decoded(load_representation(name), torch.from_numpy(test_BN))
            for view, heard_BN in views.items():
                apart = frechet_distance(reference_ND, judge.embed(list(heard_BN.numpy()), RATE)).value
                rows.append({
                    "corpus": corpus, "system": name, "view": view,
                    "si_snr_db": round(si_snr(torch.from_numpy(test_BN), heard_BN).mean().item(), 2),
                    "levels_db": [round(float(x), 1) for x in levels(heard_BN.numpy()) - real],
                    "fad_musicnn": round(apart, 1),
                    **({"times_real_time": round(test_BN.size / RATE / spent)} if view == "continuous" else {}),
                })  # fmt: skip
    return rows


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("representation", nargs="+")
    parser.add_argument("--corpus", action="append", help="default: builtin; repeatable")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = quality(arguments.representation, arguments.corpus or ["builtin"])
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items() if value != ""))


if __name__ == "__main__":
    main()
