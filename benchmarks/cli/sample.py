"""``bench sample``: generate a clip for a caption by a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...common.errors import UserError
from ..analysis.locations import check_writable
from .options import Checkpoint, SamplerSettings


def sample(
    prompt: Annotated[str, typer.Option(help="Description of the music.")],
    checkpoint: Checkpoint,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Audio file to write; its ending decides the format.")
    ] = Path("out.wav"),
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Length, at most 600 s. Default: as in training.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise; each seed gives another clip.")] = 0,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale; 1 is no guidance. Default: the study's.")
    ] = None,
    chords: Annotated[str, typer.Option(help="Chords to follow, as CHORD:LENGTH ..., e.g. 'C:4 Am:4 F:4 G7:4'.")] = "",
    tempo: Annotated[
        float,
        typer.Option(
            min=0,
            show_default=False,
            help="Beats per minute; with it chord lengths are in beats, without it in parts of the clip.",
        ),
    ] = 0.0,
    settings: SamplerSettings = [],  # noqa: B006
) -> None:
    """Generate one clip from a caption.

    \b
    Examples:
      bench sample --prompt "a calm piece in C major, 90 BPM" --checkpoint runs/fm-.../final -o calm.wav
      bench sample --prompt "..." --checkpoint ... --guidance 3 --set steps=50 --seed 7
      bench sample --prompt "..." --checkpoint ... --chords "C:4 Am:4 F:4 G:4"   # a model of the study "control"
    """
    from ...common.seeds import seed_for
    from ...corpora.audio import write_audio
    from ...paradigms.pipeline import chord_control, generate, load_model
    from ..run.lengths import check_length, enough_memory
    from ..study.load import parse_setting

    check_writable(out, "file")
    if not prompt.strip():
        raise UserError("--prompt is empty; describe the music")
    if seconds is not None and seconds <= 0:
        raise UserError(f"--seconds is {seconds:g} but must be more than 0")
    if not 0 <= tempo <= 1000:
        raise UserError(f"--tempo is {tempo:g} but must lie between 0 and 1000 beats per minute")
    loaded = load_model(checkpoint)
    chosen = {**loaded.sampler, **dict(parse_setting(setting) for setting in settings)}
    if guidance is not None:
        chosen["guidance"] = guidance
    length = loaded.seconds if seconds is None else seconds
    check_length(length, loaded.seconds, "--seconds")
    asked = chord_control(loaded.model, chords, length, tempo) if chords else {}
    with enough_memory(length):
        made = generate(
            loaded.model, loaded.representation, loaded.text, [prompt], [seed_for(seed, prompt, 0)],
            loaded.model.sampler(chosen), length, controls=asked,
        )  # fmt: skip
    write_audio(out, made.audio_BN[0], loaded.representation.spec.sample_rate)
    print(
        f"{out}: {len(made.audio_BN[0]) / loaded.representation.spec.sample_rate:g} s in {made.sampling_seconds:.2f} s"
    )
