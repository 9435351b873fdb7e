"""``bench inpaint``: fill a span of a sound file by a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inpaint(
    source: Annotated[Path, typer.Argument(metavar="IN.WAV", help="Sound file; resampled and mixed to mono.")],
    start: Annotated[float, typer.Option("--from", help="Beginning of the span, seconds.")],
    end: Annotated[float, typer.Option("--to", help="End of the span, seconds.")],
    prompt: Annotated[str, typer.Option(help="What the music is.")],
    checkpoint: Annotated[Path, typer.Option(help="A model folder of bench train, e.g. runs/fm-.../final.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Audio file to write; its ending decides the format.")
    ] = Path("out.wav"),
    seed: Annotated[int, typer.Option(help="Another seed, another filling.")] = 0,
    settings: Annotated[list[str], typer.Option("--set", help="Any sampler setting, e.g. steps=50; repeatable.")] = [],  # noqa: B006
) -> None:
    """Fill the span from one time to another; the rest is the file as the codec has it.

    \b
    Example:
      bench inpaint in.wav --from 3 --to 8 --prompt "a calm tune" --checkpoint runs/fm-.../final -o out.wav
    """
    from benchmarks.audio import write_audio
    from benchmarks.inpainting import inpaint, span_between
    from benchmarks.pipeline import load_model
    from benchmarks.study import parse_setting
    from common.errors import UserError
    from common.seeds import seed_for
    from corpora.audio_files import duration, read_mono

    if not prompt.strip():
        raise UserError("--prompt is empty; say what the music is")
    if not source.is_file():
        raise UserError(f"{source}: no such file; give a sound file")
    mend = "give a sound file such as WAV or FLAC"
    seconds = duration(source, str(source), mend)
    loaded = load_model(checkpoint)
    latent = loaded.representation.spec
    span = span_between(start, end, seconds, latent, str(source))
    audio_N = read_mono(source, latent.sample_rate, str(source), mend)
    if abs(audio_N).max() < 1e-4:
        raise UserError(f"{source}: silent throughout, so there is nothing to go by; give a file with sound")
    made = inpaint(
        loaded.model, loaded.representation, loaded.text, [prompt], [seed_for(seed, prompt, 0)],
        loaded.model.sampler({**loaded.sampler, **dict(parse_setting(setting) for setting in settings)}),
        audio_N[None], [span],
    )  # fmt: skip
    write_audio(out, made.audio_BN[0], latent.sample_rate)
    first, last = span.boundaries
    print(
        f"{out}: {first:g} to {last:g} s of {seconds:g} s filled in {made.sampling_seconds:.2f} s; "
        f"mono, {latent.sample_rate} Hz{_changed(source, latent.sample_rate)}"
    )


def _changed(source: Path, sample_rate: int) -> str:
    """What was done to the file's samples before the model read them; nothing where they were mono at its rate."""
    import soundfile

    native = soundfile.info(source)
    done = [f"resampled from {native.samplerate} Hz"] * (native.samplerate != sample_rate)
    done += [f"mixed down from {native.channels} channels"] * (native.channels > 1)
    return f" ({', '.join(done)})" if done else ""
