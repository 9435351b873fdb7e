"""An axis without models for testing the runner: each arm's option ``does`` says how its cells behave in the worker."""

from __future__ import annotations

import dataclasses
import os
import random
import resource
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.study.axis import Axis, Context, Estimate, Measurement, UnsupportedError
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.study import Study
from paradigm_bench.common.config import to_dict
from paradigm_bench.common.errors import UserError
from paradigm_bench.training.budget import TrainingCost

if TYPE_CHECKING:
    from paradigm_bench.common.seeds import ItemRNG
    from paradigm_bench.paradigms.base import Batch, Loss


class FakeAxis(Axis):
    default_study = "smoke"

    def expand(self, study: Study) -> list[Cell]:
        return [
            self._cell(study, arm.name, str(arm.options.get("does", "work")), seed)
            for arm in study.arms
            for seed in study.seeds
        ]

    def _cell(self, study: Study, name: str, does: str, seed: int) -> Cell:
        config = {"axis": "fake", "does": does, "seed": seed, "lr": study.train.lr}
        return Cell(study.axis, name, "paradigm", seed, None, f"{name}-{seed}", config, updates=study.train.updates)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        return {cell.id: Estimate(90.0, 3e9) for cell in cells}, "Times are made up."

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        marker = context.work / "prepared"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(marker.read_text() + "x" if marker.exists() else "x")

    def open(self, cells: Sequence[Cell], context: Context) -> FakeGroup:
        if cells[0].config["does"] == "fail to open":
            raise RuntimeError("opening failed")
        if cells[0].config["does"] == "GPU memory to open":
            _run_out_of_gpu_memory()
        return FakeGroup(context)


class FakeTrainingAxis(FakeAxis):
    """The same, whose cells look like those of an axis that trains its arms."""

    def _cell(self, study: Study, name: str, does: str, seed: int) -> Cell:
        cell = super()._cell(study, name, does, seed)
        config = {**cell.config, "train": to_dict(study.train)}
        return dataclasses.replace(cell, config=config, how={"batch": study.evaluation.batch})


class FakeGroup:
    def __init__(self, context: Context) -> None:
        self.context = context

    def measure(self, cell: Cell) -> Measurement:
        _behave(cell.config["does"], self.context.work)
        value = random.Random(cell.seed).random() if cell.config["does"] == "seeded" else 1.5
        items = [{"item": f"p{i}", "caption": "a, b", "score": i + cell.seed} for i in range(4)]
        training = TrainingCost(
            updates=10, cpu_seconds=1.0, wall_seconds=2.0, curve={"update": (1.0, 10.0), "loss": (3.0, 2.0)}
        )
        self.context.report(1.0, f"did {cell.title}")
        return Measurement(metrics={"score": metric(value, n=4, better="higher")}, training=training, items=items)


def _behave(does: str, work: Path) -> None:
    if does == "raise":
        raise ValueError("the cell is broken\nwith a second line")
    if does == "user error":
        raise UserError("no such file: x.wav")
    if does == "unsupported":
        raise UnsupportedError("fake cannot do this")
    if does == "memory":
        raise MemoryError("too much")
    if does == "GPU memory":
        _run_out_of_gpu_memory()
    if does == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if does == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "exit":
        os._exit(7)
    if does == "sleep":
        (work / "asleep").write_text(str(os.getpid()))
        time.sleep(60)
    if does == "seeded":
        time.sleep(2.0)
    if does.startswith("hold"):
        _hold_gpu(work, 3.0 if "long" in does else 0.5, crash="crash" in does)
    if does == "train":
        _train(work)
    if does == "hog":  # what a cgroup or the kernel does to it, an address space limit does here
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        bytearray(2**31)
    if does.startswith("wait"):
        with open(work / does, "a") as started:
            started.write("started\n")
        while not (work / "go").exists():
            time.sleep(0.05)
    if does == "once broken" and not (work / "mended").exists():
        raise RuntimeError("not mended yet")


def _run_out_of_gpu_memory() -> None:
    """Raise what torch raises, in its words."""
    import torch

    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.06 GiB is "
        "free. Including non-PyTorch memory, this process has 78.04 GiB memory in use. Of the allocated memory 76.02 "
        "GiB is allocated by PyTorch, and 1.31 GiB is reserved by PyTorch but unallocated."
    )


def _hold_gpu(work: Path, seconds: float, crash: bool) -> None:
    """Write which GPUs this process sees, and from when to when it held them; then crash, if that is wanted."""
    begun = time.monotonic()
    time.sleep(seconds)
    with open(work / "held", "a", encoding="utf-8") as log:
        log.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')} {begun} {time.monotonic()}\n")
    if crash:
        os.kill(os.getpid(), signal.SIGKILL)


def _train(work: Path) -> None:
    """Some seconds of real training on toy clips, with checkpoints at interruptions only."""
    import torch
    from training_toys import SPEC, Coder, run

    class Slow(Coder):
        def loss(self, batch: Batch, rng: ItemRNG, shared: ItemRNG) -> Loss:
            time.sleep(0.02)
            return super().loss(batch, rng, shared)

    with open(work / "train", "a", encoding="utf-8") as sessions:
        sessions.write(" ".join(path.name for path in (work / "toy").glob("checkpoint-*")) + "\n")
    torch.set_num_threads(1)
    spec = dataclasses.replace(SPEC, updates=200, checkpoint_every=10_000, log_every=1)
    run(work / "toy", spec, Slow())
