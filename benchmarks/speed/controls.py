"""What temporal controls add to a training step: ``python -m benchmarks.speed.controls [--paradigm fm]``.

One randomly initialised model of the real shape takes gradient steps on random data, in turns with its controls
(chords, melody, drums) and without them, so that whatever the machine does hits both alike. A step is loss and backward
pass; the optimiser, which costs both the same, is left out, so the share is rather too large. Beside the clock stands
the processor time of this process, which others on the machine disturb less, and the share of operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.speed.summary import Median
    from paradigms.base import Batch, Paradigm

CONTROLS = ("chords", "melody", "drums")
TEXT_TOKENS, TEXT_WIDTH = 64, 768


def main(
    paradigm: Annotated[str, typer.Option(help="ar, fm, mar, mntp or ntp.")] = "ar",
    scale: Annotated[str, typer.Option(help="Backbone preset: 400m, tiny ...")] = "400m",
    batch: Annotated[int, typer.Option(help="Clips per step.")] = 1,
    frames: Annotated[int, typer.Option(help="Latent frames per clip, at 50 Hz.")] = 50,
    pairs: Annotated[int, typer.Option(help="Steps with and without controls, so many of each.")] = 11,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Measure and print."""
    import torch

    from benchmarks.console import table

    torch.set_num_threads(threads)
    model, given = subject(paradigm, scale, batch, frames)
    added, whole = operations(model, batch, frames)
    wall, processor, medians = measure(stepper(model, given), pairs)
    rows = [["with controls", *medians[True]], ["without", *medians[False]]]
    print(f"{paradigm}, {scale}, batch {batch} x {frames} frames, {threads} thread(s), {pairs} pairs of steps")
    print(table(["step", "seconds", "processor seconds"], rows))
    print(
        f"controls add: operations {added / whole:+.3%}; seconds {_share(wall)}; processor seconds {_share(processor)}"
    )


def subject(paradigm: str, scale: str, batch: int, frames: int) -> tuple[Paradigm, Batch]:
    """A model with controls at the latents of papers/002 (32 kHz EnCodec at 50 Hz), and random training data for it."""
    import torch

    import paradigms
    from backbones.config import preset
    from paradigms.base import Batch, Conditions
    from representations.base import LatentSpec
    from representations.controls import control_specs
    from representations.text import TextSpec

    torch.manual_seed(0)
    latent = LatentSpec("encodec", 32_000, 50.0, 128, codebooks=4, cardinality=2048)
    specs = control_specs(CONTROLS, latent)
    text = TextSpec("embeddings", TEXT_WIDTH, (), TEXT_TOKENS, "random")
    model = paradigms.build(paradigm, {}, preset(scale), latent, text, specs)
    controls = {spec.name: torch.randint(spec.cardinality, (batch, frames)) for spec in specs}
    words = torch.randn(batch, TEXT_TOKENS, TEXT_WIDTH), torch.ones(batch, TEXT_TOKENS, dtype=torch.bool)
    codes = torch.randint(latent.cardinality, (batch, latent.codebooks, frames))
    return model, Batch(torch.randn(batch, frames, latent.dim), codes, Conditions(*words, controls))


def operations(model: Paradigm, batch: int, frames: int) -> tuple[int, int]:
    """Operations of one forward pass: what controls add (their projection), and the backbone's (``backbones.cost``)."""
    from backbones.cost import linear

    assert model.control_stem is not None
    projection = model.control_stem.projection
    flops, _ = model.backbone_cost(4).run(batch, frames, frames, batch, TEXT_TOKENS)
    return linear(batch * frames, projection.in_features, projection.out_features), flops


def stepper(model: Paradigm, given: Batch) -> Callable[[bool], None]:
    """A function that does one step, with the model's controls or as a model without any."""
    from common.seeds import ItemRNG

    stem = model.control_stem

    def step(controlled: bool) -> None:
        model.control_stem = stem if controlled else None
        model.zero_grad(set_to_none=True)
        rng, shared = ItemRNG(list(range(len(given.conditions)))), ItemRNG([0])
        model.loss(given, rng, shared).mean.backward()

    return step


def measure(step: Callable[[bool], None], pairs: int) -> tuple[Median, Median, dict[bool, tuple[float, float]]]:
    """Share that controls add by the clock and by processor time (medians over pairs), and both kinds' medians.

    One step of each kind warms up; then who goes first changes from pair to pair.
    """
    from benchmarks.speed.summary import median

    taken: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for pair in range(-1, pairs):
        for controlled in (pair % 2 == 0, pair % 2 == 1):
            begun = time.perf_counter(), time.process_time()
            step(controlled)
            spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
            if pair >= 0:
                taken[controlled].append(spent)
    shares = [median([a[i] / b[i] - 1 for a, b in zip(taken[True], taken[False])]) for i in range(2)]
    both = {
        kind: (median([t[0] for t in spent]).value, median([t[1] for t in spent]).value)
        for kind, spent in taken.items()
    }
    return shares[0], shares[1], both


def _share(found: Median) -> str:
    interval = "" if found.low is None or found.high is None else f" [{found.low:+.1%}, {found.high:+.1%}]"
    return f"{found.value:+.1%}{interval}"


if __name__ == "__main__":
    typer.run(main)
