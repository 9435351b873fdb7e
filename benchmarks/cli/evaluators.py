"""``bench evaluators``: list, train, install and check the evaluators of clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.console import shown, table
from ...common.errors import UserError, did_you_mean
from ...common.files import cache_dir
from ...common.lines import count
from ..analysis.locations import check_writable
from .options import Json

if TYPE_CHECKING:
    from ..evaluators.environments.environment import Environment

app = typer.Typer(rich_markup_mode=None)
OURS = ("builtin", "logmel")  # they need nothing but this suite
HERE = ("clap", "encodec")  # judges that run in this environment by transformers
COLUMNS = ("evaluator", "role", "package", "version", "licence", "state", "weights")


@app.callback()
def evaluators() -> None:
    """List, train, install and check evaluators of clips."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List evaluators and what each still needs.

    A tagger decides whether clips follow their captions, a judge how far they are from real audio. Says which are
    installed, how to install the others, and where to put weights that you have.

    \b
    Examples:
      bench evaluators list
      bench evaluators list --json
    """
    from ..evaluators.environments import environments
    from ..evaluators.environments.environment import installed

    apart = environments().values()
    if as_json:
        states = [(env, "installed" if installed(env) else f"bench evaluators install {env.name}") for env in apart]
        rows = [[env.name, "judge", *_package(env), env.licence, state, env.weights] for env, state in states]
        return print(shown(COLUMNS, [*_here(), *rows], as_json))
    print("In this environment (metrics carry the evaluator's name):")
    print("\n".join(f"  {line}" for line in table(COLUMNS, _here()).splitlines()))
    print("\nIn environments of their own (judges):")
    for env in apart:
        local = sorted(path.name for path in env.weights_folder.glob("*"))
        print(f"  {env.name:<12}{'installed' if installed(env) else f'missing: bench evaluators install {env.name}'}")
        print(f"{'':14}{env.about}\n{'':14}licence: {env.licence}\n{'':14}package: {' '.join(_package(env))}")
        print(f"{'':14}weights: {'here: ' + ', '.join(local) if local else 'not here; ' + env.weights}")
    print(f"\nYou have a file of their weights: say NAME:FILE, or put it into {cache_dir('weights', 'NAME')}.")


def _here() -> list[list[str]]:
    """A row of ``COLUMNS`` for each evaluator that needs no environment of its own."""
    from ...common.environment import package_version
    from ..evaluators.judges.weights import PACKAGES, SHIPPED

    ours, found = package_version("paradigm-bench") or "", package_version("transformers") or ""
    state = "ready" if found else "missing: pip install transformers"
    hub = "folder or hub id; clap:general and clap:music are short names"
    rows = [
        ["builtin", "tagger", "this suite", ours, "Apache-2.0", "ready", "shipped: the built-in attribute tagger"],
        ["logmel", "judge", "this suite", ours, "Apache-2.0", "ready", "none: log-mel statistics and band levels"],
    ]
    for name, one in PACKAGES.items():
        ready = "ready" if one.installed() else f"bench evaluators install {name}"
        where = "shipped" if SHIPPED in one.file.parents else "installed" if one.installed() else "on PyPI"
        rows.append([name, "judge", one.name, one.version, one.licence, ready, f"{where}: {one.about}"])
    return rows + [[name, "judge", "transformers", found, "see the hub page", state, hub] for name in HERE]


def _package(env: Environment) -> list[str]:
    """The package that an environment is made for, which its script names last, and its version."""
    return env.dependencies[-1].split("==")


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the evaluator to.")],
    corpus: Annotated[str, typer.Option(help="`builtin`, or a folder with a manifest.")] = "builtin",
    representation: Annotated[str, typer.Option(help="Codec whose reconstructions it also learns.")] = "codec_builtin",
    cpu_seconds: Annotated[float, typer.Option(min=1, help="Training budget, in seconds of CPU time.")] = 450.0,
) -> None:
    """Train the built-in tagger on a corpus of your own.

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
        bool, typer.Option("--borrow", help="Use the packages of this Python, install only the missing ones.")
    ] = False,
) -> None:
    """Install the weights or environment of an evaluator.

    The weights of musicnn_msd and aisfx come in a package on PyPI (29 and 23 MB): it is downloaded, its hash is
    checked, its weights are kept in the cache folder, and none of its code is run. The other evaluators get an
    environment of their own in the cache folder, and their weights are downloaded when they are first used. With
    --borrow it takes seconds and little space, but depends on the packages of this Python.

    \b
    Examples:
      bench evaluators install aisfx
      bench evaluators install fadtk
      bench evaluators install audiobox --borrow
    """
    from ..evaluators.environments import environments
    from ..evaluators.environments.environment import install as make
    from ..evaluators.judges.weights import PACKAGES

    envs = environments()
    if name in (*OURS, *HERE):
        return print(f"{name} needs no installation")
    if name in PACKAGES:
        from ..evaluators.judges.install import install_weights

        return print(f"{name}: weights in {install_weights(PACKAGES[name])}")
    if name not in envs:
        known = [*PACKAGES, *envs]
        raise UserError(f"no evaluator {name!r} to install{did_you_mean(name, known)}; known: {', '.join(known)}")
    make(envs[name], borrow)
    print(f"{name}: installed in {envs[name].folder}; try it: bench evaluators check {name}")


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
