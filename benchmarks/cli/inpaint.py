"""``bench inpaint``: fill a span of a sound file by a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...common.errors import UserError
from ...common.files import no_file
from ..analysis.locations import check_writable
from .options import Checkpoint, SamplerSettings


def inpaint(
    source: Annotated[Path, typer.Argument(metavar="IN.WAV", help="Sound file; it is resampled and mixed to mono.")],
    start: Annotated[float, typer.Option("--from", help="Start of the span in seconds.")],
    end: Annotated[float, typer.Option("--to", help="End of the span in seconds.")],
    prompt: Annotated[str, typer.Option(help="Description of the music.")],
    checkpoint: Checkpoint,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Audio file to write; its ending decides the format.")
    ] = Path("out.wav"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise; each seed gives another filling.")] = 0,
    settings: SamplerSettings = [],  # noqa: B006
) -> None:
    """Fill a span of a sound file.

    The rest of the file is what the codec reconstructs of it.

    \b
    Examples:
      bench inpaint in.wav --from 3 --to 8 --prompt "a calm tune" --checkpoint runs/fm-.../final -o out.wav
    """
    from ...common.seeds import seed_for
    from ...corpora.audio import duration, read_mono, write_audio
    from ...paradigms.pipeline import load_model
    from ..axes.inpainting.fill import inpaint, span_between
    from ..run.lengths import check_length, enough_memory
    from ..study.load import parse_setting

    check_writable(out, "file")
    if not prompt.strip():
        raise UserError("--prompt is empty; say what the music is")
    if not source.is_file():
        raise UserError(f"{no_file(source)}; give a sound file")
    mend = "give a sound file such as WAV or FLAC"
    seconds = duration(source, str(source), mend)
    loaded = load_model(checkpoint)
    latent = loaded.representation.spec
    check_length(seconds, loaded.seconds, str(source))
    span = span_between(start, end, seconds, latent, str(source))
    audio_N = read_mono(source, latent.sample_rate, str(source), mend)
    if abs(audio_N).max() < 1e-4:
        raise UserError(f"{source}: the file is silent; give one with sound around the span")
    with enough_memory(seconds):
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
    """The conversions of the file before the model read it, in brackets; empty if it was mono at the model's rate."""
    import soundfile

    native = soundfile.info(source)
    done = [f"resampled from {native.samplerate} Hz"] * (native.samplerate != sample_rate)
    done += [f"mixed down from {native.channels} channels"] * (native.channels > 1)
    return f" ({', '.join(done)})" if done else ""
