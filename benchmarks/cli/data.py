"""``bench data``: encode a corpus beforehand, check what is stored, plan for one that is too large to try."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...representations.latents.layout import Layout
    from ...representations.latents.prepare import Effort, Request

app = typer.Typer(rich_markup_mode=None)
SHOWN = 20  # bad files that are named
Corpus = Annotated[str, typer.Argument(help="`builtin`, or a folder with a manifest.")]
Representation = Annotated[
    str, typer.Option(help="Representation to encode with, e.g. codec_builtin or encodec:<folder>.")
]
Split = Annotated[list[str], typer.Option(help="Only this split; repeatable. Default: all splits of the corpus.")]
Clips = Annotated[
    int,
    typer.Option(min=0, show_default=False, help="Number of training clips (corpus.clips of a study). Default: all."),
]
Seconds = Annotated[
    float,
    typer.Option(min=0, show_default=False, help="Length of built-in clips (corpus.seconds of a study). Default: 4 s."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the corpus (corpus.seed of a study).")]
Dtype = Annotated[str, typer.Option(help="Number format of stored latents: float32, float16 or bfloat16.")]


@app.callback()
def data() -> None:
    """Encode a corpus once, and check what is stored."""


@app.command()
def prepare(
    corpus: Corpus,
    representation: Representation = "codec_builtin",
    controls: Annotated[
        list[str], typer.Option(help="Control to store with the latents, e.g. melody; repeatable.")
    ] = [],  # noqa: B006
    split: Split = [],  # noqa: B006
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Worker processes; they share the cores of this machine.")
    ] = 1,
    shard: Annotated[
        str, typer.Option(help="I/N: encode only the shards of task I (from 0) of N, for a job array.")
    ] = "",
    clips_per_shard: Annotated[
        int,
        typer.Option(min=0, show_default=False, help="Clips in one shard. Default: 640, or fewer if clips are long."),
    ] = 0,
    dtype: Dtype = "float32",
    clips: Clips = 0,
    seconds: Seconds = 0.0,
    seed: Seed = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Time a few clips and print the plan; store nothing.")
    ] = False,
    hours: Annotated[
        float,
        typer.Option(
            min=0, show_default=False, help="With --dry-run: hours of audio to plan for. Default: the corpus."
        ),
    ] = 0.0,
    sample: Annotated[int, typer.Option(min=1, help="With --dry-run: number of clips to time.")] = 8,
    encodec: Annotated[
        bool, typer.Option("--encodec", help="With --dry-run: also time EnCodec at 25, 50 and 100 Hz.")
    ] = False,
) -> None:
    """Encode a corpus into shards that studies read.

    A command that was stopped continues when it is given again.

    \b
    Examples:
      bench data prepare builtin --controls chords_majmin --controls melody --controls drums
      bench data prepare my/songs --representation encodec:facebook/encodec_32khz --jobs 8
      sbatch --array=0-99 --wrap 'bench data prepare my/songs --shard $SLURM_ARRAY_TASK_ID/100'
      bench data prepare my/songs --dry-run --hours 20000 --encodec
    """
    from ...common.errors import UserError
    from ...representations.latents.prepare import Request, opened

    request = Request(corpus, clips or None, seconds or None, seed, representation, dtype, clips_per_shard or None)
    if dry_run:
        from ..run.estimate.data_plan import print_plan

        return print_plan(request, controls, hours, sample, encodec)
    if hours or encodec:
        raise UserError("--hours and --encodec belong to a plan; add --dry-run, or leave them out")
    turn, of = _turn(shard)
    layout, _ = opened(request)
    effort = _make(request, layout, controls, _splits(layout, split), turn, of, jobs)
    _tell(layout, effort)
    return None


@app.command()
def check(
    corpus: Corpus,
    representation: Representation = "codec_builtin",
    split: Split = [],  # noqa: B006
    dtype: Dtype = "float32",
    clips: Clips = 0,
    seconds: Seconds = 0.0,
    seed: Seed = 0,
) -> None:
    """Compare the stored files with their checksums.

    Names every bad file and the command that makes it again.

    \b
    Examples:
      bench data check builtin
      bench data check my/songs --representation encodec:facebook/encodec_32khz --split train
    """
    from ...common.errors import UserError
    from ...common.lines import count
    from ...representations.latents.check import check_store
    from ...representations.latents.prepare import Request, opened

    request = Request(corpus, clips or None, seconds or None, seed, representation, dtype)
    layout, _ = opened(request)
    splits = _splits(layout, split)
    good, bad = 0, []
    for fault in check_store(layout, splits):
        if fault is None:
            good += 1
            continue
        bad.append(fault)
        if len(bad) <= SHOWN:
            again = _again(request, split, fault.control, fault.turn)
            print(f"{layout.folder / fault.name}.safetensors {fault.why}; make it again: {again}")
    if bad:
        raise UserError(
            f"{len(bad)} of {count(len(bad) + good, 'file')} in {layout.folder} bad, named above; "
            "`bench data prepare` with the same options makes them again"
        )
    print(f"{layout.folder}: {count(good, 'file')}, all as they were written")


def _turn(text: str) -> tuple[int, int]:
    """Which task of how many.

    Raises:
        UserError: not I/N with 0 <= I < N.
    """
    from ...common.errors import UserError

    turn, slash, of = text.partition("/")
    if not text:
        return 0, 1
    if not (slash and turn.isdigit() and of.isdigit() and int(turn) < int(of)):
        raise UserError(f"--shard {text!r}: expected I/N with I from 0 to N - 1, for example 3/100")
    return int(turn), int(of)


def _splits(layout: Layout, chosen: Sequence[str]) -> list[str]:
    """The splits that were asked for, or all that have clips.

    Raises:
        UserError: the corpus has no such split.
    """
    for split in chosen:
        layout.corpus.clips(split)
    return list(chosen) or [split for split, clips in layout.corpus.clips_by_split.items() if clips]


def _make(
    request: Request, layout: Layout, controls: Sequence[str], splits: Sequence[str], turn: int, of: int, jobs: int
) -> Effort:
    from ...representations.latents.controls import control_specs
    from ...representations.latents.encoded import progress_bars
    from ...representations.latents.manifest import update_manifest
    from ...representations.latents.prepare import make_all, units

    control_specs(controls, layout.spec)
    todo = units(layout, splits, turn, of)
    clips = sum(len(layout.shard(*unit).clips) for unit in todo)
    with progress_bars(dict.fromkeys(("latents", *controls), clips), sys.stderr.isatty()) as advance:
        effort = make_all(request, todo, controls, jobs, advance)
    update_manifest(layout)
    return effort


def _tell(layout: Layout, effort: Effort) -> None:
    from ...common.console import size
    from ...common.lines import count

    for what, audio in effort.audio.items():
        cpu = effort.cpu[what]
        print(f"{what}: {audio:,.0f} s of audio in {cpu:,.1f} CPU-s: {audio / cpu:,.0f} times real time per core")
    if effort.skipped:
        print(f"{count(effort.skipped, 'file')} stored before, with the right checksum")
    stored = [path.stat().st_size for path in layout.folder.glob("*.safetensors")]
    print(f"{layout.folder}: {count(len(stored), 'file')}, {size(sum(stored))}")


def _again(request: Request, splits: Sequence[str], control: str, turn: str) -> str:
    """The command that makes one shard again."""
    options: dict[str, object] = {
        "--representation": request.representation if request.representation != "codec_builtin" else None,
        "--controls": control or None, "--dtype": request.dtype if request.dtype != "float32" else None,
        "--clips": request.clips, "--seconds": request.seconds, "--seed": request.seed or None,
    }  # fmt: skip
    words = [word for split in splits for word in ("--split", split)]
    words += [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    return shlex.join(["bench", "data", "prepare", request.corpus, *words, "--shard", turn])
