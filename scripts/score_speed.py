"""How long ``bench score`` takes, and whether its digits depend on anything but the audio.

    python scripts/score_speed.py --clips 1000              # seconds, without and with cached outputs
    python scripts/score_speed.py --clips 120 --check       # and the same digits under other names, processes, threads

Makes two sets of clips of 10 s (chords of sines, plucked and with noise; mono WAV, 16 bits, 32 kHz), each of which is a
pair with its namesake, and scores them with the default panel. ``--check`` scores the clips once more under other names
that give another order, in one process and with one thread of linear algebra, without cached outputs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from checkout import ROOT, use_checkout

use_checkout()

from paradigm_bench.common.environment import cpu_model

RATE, SECONDS = 32_000, 10


def write_clips(folder: Path, n: int, seed: int) -> None:
    """Write ``n`` clips: four chords of three plucked notes each, and white noise at -40 dB."""
    folder.mkdir()
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        note = np.arange(SECONDS * RATE // 4) / RATE
        decay = np.exp(-note * rng.uniform(1, 5))
        pitches = 110 * 2 ** (rng.integers(0, 36, (4, 3)) / 12)
        chords = [sum(np.sin(2 * np.pi * pitch * note) for pitch in chord) * decay for chord in pitches]
        wav = 0.2 * np.concatenate(chords) + rng.normal(0, 0.01, SECONDS * RATE)
        soundfile.write(folder / f"clip{i:05d}.wav", wav, RATE, subtype="PCM_16")


def score(real: Path, made: Path, cache: Path, *options: str, **environment: str) -> tuple[dict[str, object], str]:
    """The metrics of one run of ``bench score``, and its seconds by the clock and of the processors."""
    arguments = ["score", "--reference", str(real), "--generated", str(made), "--json", *options]
    start, used = time.perf_counter(), _processor_seconds()
    done = subprocess.run(
        [sys.executable, "-c", "from paradigm_bench.benchmarks.cli.main import main; main()", *arguments],
        env={**os.environ, "PARADIGM_BENCH_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        cwd=ROOT, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    metrics: dict[str, object] = json.loads(done.stdout)["metrics"]
    return metrics, f"{time.perf_counter() - start:.0f} s, {_processor_seconds() - used:.0f} CPU-seconds"


def _processor_seconds() -> float:
    """Of all processes started so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def renamed(folder: Path, target: Path, seed: int) -> Path:
    """Links to the clips of a folder whose names sort in another order."""
    target.mkdir()
    files = sorted(folder.iterdir())
    for path, number in zip(files, np.random.default_rng(seed).permutation(len(files))):
        (target / f"x{number:05d}.wav").symlink_to(path)
    return target


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000, help="in each set")
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    print(f"{cpu_model()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, seed in (("real", 0), ("made", 1)):
            write_clips(folder / kind, chosen.clips, seed)
        real, made = folder / "real", folder / "made"
        first, seconds = score(real, made, folder / "cache")
        print(f"{chosen.clips:,} + {chosen.clips:,} clips of {SECONDS} s, nothing cached: {seconds}", flush=True)
        again, seconds = score(real, made, folder / "cache")
        print(f"all outputs cached: {seconds}; same digits: {again == first}", flush=True)
        if chosen.check:
            sets = [renamed(path, folder / f"{path.name}_renamed", seed=2) for path in (real, made)]
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            other, seconds = score(*sets, folder / "other_cache", "--jobs", "1", **threads)
            print(f"other names and order, one process, one thread: {seconds}; same digits: {other == first}")
            for metric in first:
                if first[metric] != other[metric]:
                    print(f"  {metric}: {first[metric]} and {other[metric]}")


if __name__ == "__main__":
    main()
