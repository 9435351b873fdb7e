"""The real paradigms at toy size with everything on: controls, inpainting, micro-batches; as a program, all of them.

python tests/training_arms.py train FOLDER OPTIMISER   each arm once, in FOLDER/<arm>; works under torchrun
python tests/training_arms.py kill FOLDER OPTIMISER    the same, each killed at random moments and started again
python tests/training_arms.py compile FOLDER           each arm, as it is and compiled, in FOLDER/<arm>-<kind>

The second prints how often each arm was killed. One process that has imported everything forks one for each attempt.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from training_toys import LATENT, SPEC, ToyText, lines, toy_stream, toy_validation

from paradigm_bench import paradigms
from paradigm_bench.backbones import BackboneConfig
from paradigm_bench.representations.latents.controls import ControlSpec
from paradigm_bench.training import TrainSpec
from paradigm_bench.training.loop import leave_process_group, train
from paradigm_bench.training.results import TrainResult

ARMS = ("ar", "fm", "mar", "mntp")
KILLS = 2  # of each arm
OPTIONS: dict[str, dict[str, Any]] = {"ar": {"fill_middle": True}, "mar": {"buffer_tokens": 3}}
CONTROLS = (ControlSpec("chords", 5, 4), ControlSpec("melody", 3, 4))
EVERYTHING = {**SPEC.__dict__, "updates": 8, "checkpoint_every": 3, "accumulate": 2, "inpainting": 0.4, "margin": 0.125}


def spec(**changes: Any) -> TrainSpec:
    """Two of five updates inpaint, in two micro-batches."""
    return TrainSpec(**{**EVERYTHING, **changes})


def arm(name: str) -> Any:
    """A paradigm with controls, its all-zero layers moved a little so that every layer is trained from the start."""
    torch.manual_seed(0)
    backbone = BackboneConfig(d_model=16, n_layers=2, n_heads=2, d_ff=32)
    model = paradigms.build(name, OPTIONS.get(name, {}), backbone, LATENT, ToyText.spec, CONTROLS)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return model


def run_arm(name: str, folder: Path, model: Any = None, validated: bool = True, **changes: Any) -> TrainResult:
    """Train one arm, on clips with controls, with a validation loss on others."""
    asked = spec(**changes)
    stream = toy_stream(asked, controlled=True)
    device: Any = "cpu" if torch.accelerator.is_available() else "auto"  # which is what the command line asks for
    held_out = toy_validation(asked, controlled=True) if validated else None
    return train(model or arm(name), stream, asked, folder, device=device, progress=False, validation=held_out)


def kill_until_done(name: str, folder: Path, chance: random.Random, optimiser: str) -> int:
    """Train in forked processes, each killed a random while after a random update; the last is left to finish."""
    kills = 0
    for target in sorted(chance.sample(range(1, EVERYTHING["updates"] + 1), KILLS)):
        child = _fork(name, folder, optimiser)
        ended = _wait(child, folder / "log.jsonl", target)
        time.sleep(chance.uniform(0, 0.02))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        kills += not ended and os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert os.waitpid(_fork(name, folder, optimiser), 0)[1] == 0
    return kills


def _fork(name: str, folder: Path, optimiser: str) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run_arm(name, folder, optimiser=optimiser)
            code = 0
        finally:
            os._exit(code)
    return child


def _wait(child: int, log: Path, update: int) -> bool:
    """Until ``update`` is in the log; returns whether the child has ended by then, and is no more."""
    while True:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        with contextlib.suppress(FileNotFoundError, IndexError, json.JSONDecodeError):
            if lines(log.parent)[-1]["update"] >= update:
                return False
        time.sleep(0.005)


def compare_compiled(name: str, folder: Path) -> None:
    """Train an arm as it is, compiled, and compiled and recomputed; JSON: graphs compiled before each loss."""
    from torch._dynamo.utils import counters

    kinds = {"plain": {}, "compiled": {"compile": True}, "both": {"compile": True, "recompute": True}}
    for kind, changes in kinds.items():
        torch._dynamo.reset()
        model, counts = arm(name), list[int]()
        inner = model.loss

        def loss(*given: Any, inner: Any = inner, counts: list[int] = counts) -> Any:
            counts.append(int(counters["stats"]["unique_graphs"]))
            return inner(*given)

        model.loss = loss
        where, few = folder / f"{name}-{kind}", {"updates": 6, "warmup": 2, "checkpoint_every": 100}
        run_arm(name, where, model, validated=False, **few, **changes)
        (folder / f"{name}-{kind}.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    mode, home = sys.argv[1], Path(sys.argv[2])
    if mode == "compile":
        for arm_name in (*ARMS, "masked_fm"):
            compare_compiled(arm_name, home)
        sys.exit()
    for arm_name in ARMS:
        if mode == "kill":
            print(arm_name, kill_until_done(arm_name, home / arm_name, random.Random(), sys.argv[3]))
        else:
            run_arm(arm_name, home / arm_name, optimiser=sys.argv[3])
    leave_process_group()
