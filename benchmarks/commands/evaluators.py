"""``bench evaluators``: which evaluators there are, what each needs, and the environments that some of them live in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Evaluators and their environments.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def evaluators() -> None:
    """Evaluators and their environments."""


@app.command("list")
def list_() -> None:
    """Say what is there, what is missing, what would be downloaded and where a local file can be put.

    \b
    Examples:
      bench evaluators list
    """
    from benchmarks.evaluators.environments import environments
    from benchmarks.evaluators.environments.running import installed
    from common.files import cache_dir

    core = _transformers()
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
def install(
    name: Annotated[str, typer.Argument(help="See bench evaluators list.")],
    borrow: Annotated[
        bool, typer.Option("--borrow", help="See this Python's packages too; install only what is missing.")
    ] = False,
) -> None:
    """Make an evaluator's environment in the cache folder, with pip. Its weights are not downloaded yet.

    With --borrow it takes seconds and little space, but is tied to this Python's packages.

    \b
    Examples:
      bench evaluators install fadtk
      bench evaluators install audiobox --borrow
    """
    from benchmarks.evaluators.environments import get_environment
    from benchmarks.evaluators.environments.running import install as make

    env = get_environment(name)
    make(env, borrow)
    print(f"{name}: installed in {env.folder}; try it: bench evaluators check {name}")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Only this one; all that are installed otherwise.")] = "",
    weights: Annotated[str, typer.Option(help="A local weights file or folder; random weights otherwise.")] = "",
) -> None:
    """Run a small request through each installed environment, with random weights unless some are given.

    \b
    Examples:
      bench evaluators check
      bench evaluators check panns --weights models/Cnn14_mAP=0.431.pth
    """
    from benchmarks.console import table
    from benchmarks.evaluators.environments import environments, get_environment
    from benchmarks.evaluators.environments.checking import check as try_out
    from benchmarks.evaluators.environments.running import installed
    from common.errors import UserError

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
    print(table(["environment", "state", "detail"], rows))
    if failed:
        raise typer.Exit(1)


@app.command()
def musicgen(
    checkpoint: Annotated[Path, typer.Argument(help="state_dict.bin of one of audiocraft's text-to-music models.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model.")],
    representation: Annotated[str, typer.Option(help="Its codec.")] = "encodec:facebook/encodec_32khz",
    text: Annotated[str, typer.Option(help="Its text encoder.")] = "t5:google-t5/t5-base",
) -> None:
    """Turn a MusicGen checkpoint of audiocraft into an ar model of this suite. Needs the audiocraft environment.

    \b
    Examples:
      bench evaluators musicgen musicgen-small/state_dict.bin --out models/musicgen_small
    """
    import paradigms
    from benchmarks.evaluators.environments.musicgen import import_musicgen
    from representations import load_representation
    from representations.text import load_text_encoder

    model = import_musicgen(str(checkpoint), load_representation(representation).spec, load_text_encoder(text).spec)
    paradigms.save(model, out)
    print(f"{out}: ar model with {sum(p.numel() for p in model.parameters()):,} parameters")


def _transformers() -> str:
    from benchmarks.environment import package_version

    return "ready, weights from a folder or hub" if package_version("transformers") else "missing: transformers"
