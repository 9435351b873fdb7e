"""Shares of the time of a training update: model kernels, noise, batches, optimiser, and the host's own work.

    python scripts/profile_training.py                    all arms of the quickstart at its settings, on one CPU thread
    python scripts/profile_training.py --arm mar --updates 40

The torch profiler records every operation with its own time ("self time"), which is added to the part of the update in
which it runs, as a share of the time of an update without the profiler. ``host`` is the rest, in which no operation
runs: Python, dispatching, the autograd engine. ``model`` is the time of operations in forward and backward pass,
without the noise. Clips are random latents of the quickstart's shape, since times do not depend on values. Run it on an
idle machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from checkout import use_checkout
from torch.profiler import ProfilerActivity, profile, record_function

use_checkout()

from paradigm_bench.backbones.config import preset
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.common.config import from_dict
from paradigm_bench.common.environment import cpu_model
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.corpora.clip import Clip
from paradigm_bench.representations.latents.encoded import EncodedSplit
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.representations.text.encoders import PAD, UNKNOWN, WordTokeniser
from paradigm_bench.training import TrainSpec, loop
from paradigm_bench.training.data import BatchStream
from paradigm_bench.training.loop import train

LATENT = LatentSpec("random", 16000, 25.0, dim=32, codebooks=4, cardinality=512)
TEXT = WordTokeniser([PAD, UNKNOWN, *(f"word{i}" for i in range(98))], max_length=64)
PARTS = ("batch", "noise", "optimiser", "model")
DRAWS = ("normal", "uniform", "integers", "permutation")
WARM = 5


def stream_of(spec: TrainSpec, clips: int = 64) -> BatchStream:
    """Random clips of a crop's length."""
    frames, generator = LATENT.frames(spec.seconds), torch.Generator().manual_seed(0)
    z = [torch.randn(frames, LATENT.dim, generator=generator) for _ in range(clips)]
    shape = (LATENT.codebooks, frames)
    codes = [torch.randint(512, shape, generator=generator).to(torch.int16) for _ in range(clips)]
    captions = [" ".join(f"word{(7 * i + j) % 98}" for j in range(20 + i % 15)) for i in range(clips)]
    named = [Clip(f"clip{i}", "train", text, spec.seconds, {}, None) for i, text in enumerate(captions)]  # type: ignore[arg-type]
    split = EncodedSplit(named, [frames] * clips, z, codes)
    return BatchStream(split, LATENT, TEXT, spec)


@contextmanager
def marked() -> Iterator[None]:
    """Name the parts of an update for the profiler."""
    places: list[tuple[Any, str, str]] = [(BatchStream, "batch", "batch")]
    places += [(ItemRNG, name, "noise") for name in DRAWS]
    places += [(kind, "step", "optimiser") for kind in (torch.optim.AdamW, torch.optim.Muon)]
    places += [(loop.EMA, "update", "optimiser")]
    places += [(torch.nn.utils, "clip_grad_norm_", "optimiser"), (loop._Run, "_accumulate_gradients", "model")]
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in places]
    for (holder, name, part), (_, _, function) in zip(places, before):
        setattr(holder, name, _scoped(function, part))
    try:
        yield
    finally:
        for holder, name, function in before:
            setattr(holder, name, function)


def _scoped(function: Any, part: str) -> Any:
    def scoped(*given: Any, **named: Any) -> Any:
        with record_function(f"part:{part}"):
            return function(*given, **named)

    return scoped


def shares(model: Any, stream: BatchStream, spec: TrainSpec) -> tuple[float, dict[str, float]]:
    """Milliseconds of an update without the profiler, and the share of them that each part takes; medians.

    Each update is done twice, first without the profiler and then with it, on the same clips and draws, since arms
    that hide a random share of the tokens have updates of very different lengths.
    """
    plain: list[float] = []
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    update = loop._Run.update

    def measured(run: Any, *given: Any) -> Any:
        number, place = run.state.update, run.loader._next
        begun = time.perf_counter()
        update(run, *given)
        plain.append(1000 * (time.perf_counter() - begun))
        run.state.update, run.loader._next = number, place
        with marked(), profile(activities=[ProfilerActivity.CPU]) as profiled, record_function("part:update"):
            done = update(run, *given)
        spent = Counter[str]()
        for event in profiled.events():
            if not event.name.startswith("part:"):
                spent[_part(event)] += event.self_cpu_time_total / 1000
        for part, shares in found.items():
            shares.append(spent[part] / plain[-1])
        return done

    loop._Run.update = measured  # type: ignore[assignment, method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            train(model, stream, spec, Path(folder), progress=False, device="cpu")
    finally:
        loop._Run.update = update  # type: ignore[method-assign]
    medians = {part: median(shares[WARM:]) for part, shares in found.items()}
    return median(plain[WARM:]), {**medians, "host": 1 - sum(medians.values())}


def _part(event: Any) -> str:
    """The innermost part of an update that an operation runs in; empty outside of updates."""
    while event is not None:
        name = event.name.removeprefix("part:")
        if name in PARTS and event.name != name:
            return name
        if event.name == "part:update":
            return "other"
        event = event.cpu_parent
    return ""


def main() -> None:
    """Print a line per arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", action="append", default=[], help="only this arm of the quickstart; repeatable")
    parser.add_argument(
        "--updates", type=int, default=40, help=f"every second one is profiled, the first {2 * WARM} warm up"
    )
    parser.add_argument("--scale", default="tiny", help="backbone preset")
    given = parser.parse_args()
    torch.set_num_threads(1)
    study = load_study("quickstart", [f"train.updates={given.updates}", "train.warmup=1", "train.snapshots=[]"])
    from paradigm_bench import paradigms

    print(f"{cpu_model()}, 1 thread, torch {torch.__version__}; scale {given.scale}, batch {study.train.batch} x 4 s")
    print(f"{'arm':16}{'ms/update':>10}" + "".join(f"{part:>11}" for part in (*PARTS[::-1], "host")))
    for arm in study.arms:
        if given.arm and arm.name not in given.arm:
            continue
        kind = paradigms.find(arm.paradigm)
        options = from_dict(kind.options_class, arm.options, "options")
        torch.manual_seed(0)
        model = kind(options, preset(given.scale), LATENT, TEXT.spec)
        milliseconds, found = shares(model, stream_of(study.train), study.train)
        row = "".join(f"{found[part]:>11.1%}" for part in (*PARTS[::-1], "host"))
        print(f"{arm.name:16}{milliseconds:>10.1f}{row}", flush=True)


if __name__ == "__main__":
    main()
