"""What temporal controls add to a training step.

    python -m paradigm_bench.benchmarks.axes.latency.tracker.controls [--paradigm fm]

One randomly initialised model of the real shape takes gradient steps on random data, in turns with its controls
(chords, melody, drums) and without them, so that the state of the machine affects both alike; in between, the layers of
the controls are run alone, forward and backward. A step is loss and backward pass. The optimiser, which costs the same
with and without controls, is left out, so the shares are rather too large. Beside the wall clock stands the processor
time of this process, which other processes disturb less. The difference of two steps is as noisy as a step; the time of
the layers alone is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer

from ..... import paradigms
from .....backbones.config import preset
from .....backbones.cost import linear
from .....common.console import table
from .....common.lines import count
from .....common.seeds import ItemRNG
from .....paradigms.base import Batch, Conditions, Paradigm
from .....representations.latents.controls import control_specs
from .....representations.shapes import TEXT_WIDTH, encodec_latent
from .....representations.text.encoders import TextSpec
from .statistics import Median, median

CONTROLS = ("chords", "melody", "drums")
KINDS = ("with controls", "without", "controls alone")
TEXT_TOKENS = 64


def main(
    paradigm: Annotated[str, typer.Option(help="ar, fm, mar, mntp or ntp.")] = "ar",
    scale: Annotated[str, typer.Option(help="Backbone preset: 400m, tiny ...")] = "400m",
    batch: Annotated[int, typer.Option(help="Clips per step.")] = 1,
    frames: Annotated[int, typer.Option(help="Latent frames per clip, at 50 Hz.")] = 50,
    pairs: Annotated[int, typer.Option(help="Number of steps with controls, and as many without.")] = 11,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Measure and print."""
    torch.set_num_threads(threads)
    model, given = subject(paradigm, scale, batch, frames)
    added, whole = operations(model, batch, frames)
    taken = measure(stepper(model, given), pairs)
    print(f"{paradigm}, {scale}, batch {batch} x {count(frames, 'frame')}, {count(threads, 'thread')}, ", end="")
    print(f"{count(pairs, 'pair')} of steps")
    rows = [[kind, *(median(times).value for times in zip(*spent))] for kind, spent in taken.items()]
    print(table(["step", "seconds", "processor seconds"], rows))
    print(f"operations that controls add: {added / whole:.3%}")
    for i, clock in enumerate(("seconds", "processor seconds")):
        steps = [[one[i] for one in taken[kind]] for kind in KINDS]
        gained = median([a / b - 1 for a, b in zip(steps[0], steps[1])])
        alone = median([a / b for a, b in zip(steps[2], steps[1])])
        print(f"{clock}: with against without {_share(gained)}; controls alone {_share(alone)} of a step")


def subject(paradigm: str, scale: str, batch: int, frames: int) -> tuple[Paradigm, Batch]:
    """A model with controls for the latents of 32 kHz EnCodec at 50 Hz, and a batch of random training data for it."""
    torch.manual_seed(0)
    latent = encodec_latent()
    specs = control_specs(CONTROLS, latent)
    text = TextSpec("embeddings", TEXT_WIDTH, (), TEXT_TOKENS, "random")
    model = paradigms.build(paradigm, {}, preset(scale), latent, text, specs)
    controls = {spec.name: torch.randint(spec.cardinality, (batch, frames)) for spec in specs}
    texts_BLD, mask_BL = torch.randn(batch, TEXT_TOKENS, TEXT_WIDTH), torch.ones(batch, TEXT_TOKENS, dtype=torch.bool)
    codes = torch.randint(latent.cardinality, (batch, latent.codebooks, frames))
    return model, Batch(torch.randn(batch, frames, latent.dim), codes, Conditions(texts_BLD, mask_BL, controls))


def operations(model: Paradigm, batch: int, frames: int) -> tuple[int, int]:
    """Operations of one forward pass: of the controls' projection, and of the backbone (``backbones.cost``)."""
    assert model.control_conditioner is not None
    projection = model.control_conditioner.projection
    flops, _ = model.backbone_cost(4).run(batch, frames, frames, batch, TEXT_TOKENS)
    return linear(batch * frames, projection.in_features, projection.out_features), flops


def stepper(model: Paradigm, given: Batch) -> Callable[[str], None]:
    """A function that does one step of a kind (one of ``KINDS``)."""
    conditioner, (clips, frames) = model.control_conditioner, given.latents_BTD.shape[:2]
    assert conditioner is not None

    def step(kind: str) -> None:
        model.control_conditioner = conditioner if kind == "with controls" else None
        model.zero_grad(set_to_none=True)
        conditioner.zero_grad(set_to_none=True)
        if kind == "controls alone":
            added_BTC = conditioner(given.conditions.controls, clips, frames)
            added_BTC.backward(torch.ones_like(added_BTC))
        else:
            model.loss(given, ItemRNG(list(range(clips))), ItemRNG([0])).mean.backward()

    return step


def measure(step: Callable[[str], None], pairs: int) -> dict[str, list[tuple[float, float]]]:
    """(seconds, processor seconds) of each step, by kind; the first of each warms up, and the order alternates."""
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for pair in range(-1, pairs):
        for kind in KINDS if pair % 2 else KINDS[::-1]:
            begun = time.perf_counter(), time.process_time()
            step(kind)
            if pair >= 0:
                taken[kind].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return taken


def _share(found: Median) -> str:
    interval = "" if found.low is None or found.high is None else f" [{found.low:+.2%}, {found.high:+.2%}]"
    return f"{found.value:+.2%}{interval}"


if __name__ == "__main__":
    typer.run(main)
