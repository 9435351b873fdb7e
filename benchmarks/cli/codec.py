"""``bench codec``: train a codec on a corpus, and hear what a representation loses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.config import from_dict, to_dict
from ...common.errors import UserError
from ...common.files import no_file
from ...common.lines import count
from ..analysis.locations import check_writable
from .options import command_line

if TYPE_CHECKING:
    from ...representations.codecs.trainer import CodecRecipe

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def codec() -> None:
    """Train the codec that makes latents, or hear it."""


@app.command()
def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write the codec to; a study names it as its representation.")
    ],
    corpus: Annotated[str, typer.Option(help="Corpora with weights, e.g. builtin:0.7,my/folder:0.3.")] = "builtin",
    recipe: Annotated[
        str, typer.Option(help="Recipe: codec, vae, encodec-25, encodec-50, encodec-100, vae-25, vae-50 or vae-100.")
    ] = "codec",
    frame_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Latent frames per second, for the recipes codec and vae: 12.5, 25, 50 or 100."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training updates. Two runs on one machine give the same bits.")
    ] = None,
    cpu_seconds: Annotated[
        float | None, typer.Option(min=1, help="Training budget in seconds of CPU time. Default: 3000.")
    ] = None,
    wall_seconds: Annotated[
        float | None, typer.Option(min=1, help="Limit in seconds of wall-clock time. Default: 36000.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Folder of a codec or VAE of the same recipe whose weights training starts from."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the initialisation and of the training crops.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Any key of the recipe, e.g. model.dim=16; repeatable.")
    ] = None,
) -> None:
    """Train a codec on a corpus.

    A training that was stopped continues when the same command is given again.

    \b
    Examples:
      bench codec train --corpus my/folder --cpu-seconds 1200 -o runs/codec
      bench codec train --frame-rate 50 --steps 3000 --set model.width=128 -o runs/codec_50hz
      bench codec train --recipe vae --steps 2000 -o runs/vae
      bench codec train --init runs/codec --corpus my/other --cpu-seconds 300 -o runs/codec_tuned
      bench codec train --recipe encodec-50 --corpus my/folder -o runs/encodec
      bench run quickstart --corpus my/folder --set representation=runs/codec
    """
    from ...representations.codecs.recipes import recipe as find
    from ...representations.codecs.trainer import parse_corpora, train_codec

    if steps is not None and (cpu_seconds is not None or wall_seconds is not None):
        raise UserError("--steps and --cpu-seconds or --wall-seconds are two budgets; give one of them")
    check_writable(out, "folder")
    if init and out.resolve() == init.resolve():
        raise UserError("--init and --out are the same folder; give another --out")
    if cpu_seconds is not None or wall_seconds is not None:
        steps = 0  # the clock decides
    given = {"steps": steps, "cpu_seconds": cpu_seconds, "wall_seconds": wall_seconds, "seed": seed}
    config = _with_settings(find(recipe, frame_rate), given, settings or [])
    reference = train_codec(parse_corpora(corpus), config, out, command_line(), init=init)
    print(f"{out}: use it with --set representation={reference}")


@app.command()
def reconstruct(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sound files; mixed to mono and resampled.")],
    representation: Annotated[
        str, typer.Option(help="Codec, VAE or mel to hear, as a study names it.")
    ] = "codec_builtin",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("reconstructed"),
    seconds: Annotated[float, typer.Option(min=0.1, help="Length to take from the start of each file.")] = 10.0,
) -> None:
    """Write sound files as a representation gives them back.

    Each file is written as original, continuous (through the latents) and quantised (through the codes, if there are
    any), all at the representation's sample rate.

    \b
    Examples:
      bench codec reconstruct my/song.wav other.flac -o heard
      bench codec reconstruct my/song.wav --representation runs/codec -o heard
    """
    import torch

    from ...corpora.audio import read_mono, write_audio
    from ...representations import load_representation
    from ...representations.base import fit_length

    check_writable(out, "folder")
    if absent := [path for path in files if not path.is_file()]:
        raise UserError(f"{no_file(absent[0])}; give sound files")
    codec = load_representation(representation)
    rate = codec.spec.sample_rate
    for path in files:
        wav_BN = torch.from_numpy(read_mono(path, rate, str(path), "give a sound file such as WAV or FLAC"))[None]
        wav_BN = wav_BN[:, : round(seconds * rate)]
        with torch.inference_mode():
            z_BTD = codec.encode(wav_BN)
            views = {"original": wav_BN, "continuous": codec.decode(z_BTD)}
            if codec.spec.codebooks:
                views["quantised"] = codec.decode(codec.dequantise(codec.quantise(z_BTD)))
        for view, heard_BN in views.items():
            write_audio(out / f"{path.stem}-{view}.flac", fit_length(heard_BN, wav_BN.shape[-1])[0].numpy(), rate)
    print(f"{out}: {count(len(files), 'file')} through {representation}")


def _with_settings(config: CodecRecipe, given: dict[str, Any], settings: Iterable[str]) -> CodecRecipe:
    """The recipe, changed by the options and then by ``--set``."""
    from ..study.load import parse_setting
    from ..study.sweep import check_key

    data = to_dict(config) | {key: value for key, value in given.items() if value is not None}
    for key, value in map(parse_setting, settings):
        *parents, last = key.split(".")
        check_key(type(config), [*parents, last], f"--set {key}")
        place = data
        for parent in parents:
            place = place[parent]
        place[last] = value
    return from_dict(type(config), data, "--set")
