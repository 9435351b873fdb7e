"""``bench evaluators``: list, train, install and check the evaluators of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...common.console import shown
from ...common.errors import UserError
from ...common.files import cache_dir
from ...common.lines import count
from ..analysis.locations import check_writable
from .options import Json

app = typer.Typer(rich_markup_mode=None)
HERE = ("clap", "encodec")  # evaluators that run in this environment by transformers


@app.callback()
def evaluators() -> None:
    """List, train, install and check evaluators of clips."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List evaluators and what each still needs.

    Says which are installed, which weights are here or would be downloaded, and where to put weights that you have.

    \b
    Examples:
      bench evaluators list
      bench evaluators list --json
    """
    from ..evaluators.environments import environments
    from ..evaluators.environments.environment import installed

    core = _transformers()
    if as_json:
        here = [["builtin", "ready", "", "shipped"], *([name, core, "", "folder or hub id"] for name in HERE)]
        apart = [
            [name, "installed" if installed(env) else "missing", env.licence, env.weights]
            for name, env in environments().items()
        ]
        return print(shown(["evaluator", "state", "licence", "weights"], [*here, *apart], as_json))
    print(f"In this environment (metrics carry the evaluator's name):\n  {'builtin':<12}ready, weights shipped")
    print(f"  {'clap':<12}{core}; clap:general, clap:music, or clap:<folder or hub id>")
    print(f"  {'encodec':<12}{core}; encodec:<folder or hub id>\n\nIn environments of their own:")
    for name, env in environments().items():
        local = sorted(path.name for path in env.weights_folder.glob("*"))
        print(f"  {name:<12}{'installed' if installed(env) else f'missing: bench evaluators install {name}'}")
        print(f"{'':14}{env.about}\n{'':14}licence: {env.licence}")
        print(f"{'':14}weights: {'here: ' + ', '.join(local) if local else 'not here; ' + env.weights}")
    print(f"\nA weights file that you have: say NAME:FILE, or put it into {cache_dir('weights', 'NAME')}.")


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the evaluator to.")],
    corpus: Annotated[str, typer.Option(help="`builtin`, or a folder with a manifest.")] = "builtin",
    representation: Annotated[str, typer.Option(help="Codec whose reconstructions it also learns.")] = "codec_builtin",
    cpu_seconds: Annotated[float, typer.Option(min=1, help="Training budget, in seconds of CPU time.")] = 450.0,
) -> None:
    """Train the built-in evaluator on a corpus of your own.

    It learns from real clips and from their reconstructions by the codec; otherwise it would misjudge every clip that
    the codec decoded. `bench run --corpus FOLDER` does this by itself and keeps the evaluator in the cache.

    \b
    Examples:
      bench evaluators train --corpus my/folder -o runs/evaluator
      bench run quickstart --corpus my/folder --set evaluation.evaluator=runs/evaluator
    """
    from ...corpora import load_corpus
    from ...representations import load_representation
    from ..evaluators.builtin.training import EvaluatorConfig, train_evaluator

    check_writable(out, "folder")
    config = EvaluatorConfig(cpu_seconds=cpu_seconds)
    train_evaluator(load_corpus(corpus), load_representation(representation), config, out)
    print(f"{out}: an evaluator for {corpus}")


@app.command()
def install(
    name: Annotated[str, typer.Argument(help="An evaluator of `bench evaluators list`.")],
    borrow: Annotated[
        bool, typer.Option("--borrow", help="Use the packages of this Python and install only the missing ones.")
    ] = False,
) -> None:
    """Install an evaluator's environment with pip.

    The environment is made in the cache folder; its weights are downloaded when it is first used. With --borrow it
    takes seconds and little space, but depends on the packages of this Python.

    \b
    Examples:
      bench evaluators install fadtk
      bench evaluators install audiobox --borrow
    """
    from ..evaluators.environments import get_environment
    from ..evaluators.environments.environment import install as make

    env = get_environment(name)
    make(env, borrow)
    print(f"{name}: installed in {env.folder}; try it: bench evaluators check {name}")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Only this evaluator. Default: all that are installed.")] = "",
    weights: Annotated[str, typer.Option(help="A local weights file or folder. Default: random weights.")] = "",
    as_json: Json = False,
) -> None:
    """Try each installed environment on a small request.

    It runs with random weights, unless --weights names some.

    \b
    Examples:
      bench evaluators check
      bench evaluators check panns --weights models/Cnn14_mAP=0.431.pth
    """
    from ..evaluators.environments import environments, get_environment
    from ..evaluators.environments.environment import installed
    from ..evaluators.environments.evaluator import check_environment as try_out

    if weights and not name:
        raise UserError("--weights belong to one evaluator; name it: bench evaluators check NAME --weights FILE")
    chosen = [get_environment(name)] if name else list(environments().values())
    rows, failed = [], False
    for env in chosen:
        if not name and not installed(env):
            rows.append([env.name, "missing", f"bench evaluators install {env.name}"])
            continue
        try:
            rows.append([env.name, "ok", try_out(env, weights)])
        except UserError as error:
            failed = True
            rows.append([env.name, "failed", str(error)])
    print(shown(["environment", "state", "detail"], rows, as_json))
    if failed:
        raise typer.Exit(1)


@app.command()
def musicgen(
    checkpoint: Annotated[Path, typer.Argument(help="state_dict.bin of a text-to-music model of audiocraft.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the model to.")],
    representation: Annotated[str, typer.Option(help="Codec of the model.")] = "encodec:facebook/encodec_32khz",
    text: Annotated[str, typer.Option(help="Text encoder of the model.")] = "t5:google-t5/t5-base",
) -> None:
    """Convert a MusicGen checkpoint to an ar model.

    Reads a checkpoint of audiocraft and needs the audiocraft environment.

    \b
    Examples:
      bench evaluators musicgen musicgen-small/state_dict.bin -o models/musicgen_small
    """
    from ... import paradigms
    from ...representations import load_representation
    from ...representations.text.encoders import load_text_encoder
    from ..evaluators.environments.musicgen import import_musicgen

    check_writable(out, "folder")
    model = import_musicgen(str(checkpoint), load_representation(representation).spec, load_text_encoder(text).spec)
    paradigms.save(model, out)
    print(f"{out}: ar model with {count(sum(p.numel() for p in model.parameters()), 'parameter')}")


def _transformers() -> str:
    from ...common.environment import package_version

    return "ready, weights from a folder or hub" if package_version("transformers") else "missing: transformers"
