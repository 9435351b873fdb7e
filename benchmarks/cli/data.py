"""``bench data``: encode a corpus beforehand, check what is stored, plan for one that is too large to try."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.console import size
from ...common.errors import UserError
from ...common.lines import count

if TYPE_CHECKING:
    from ...representations.latents.encode import EncodingRequest, EncodingWork
    from ...representations.latents.store import ShardId, StoreLayout

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
    from ...representations.latents.encode import EncodingRequest, open_request

    request = EncodingRequest(
        corpus, clips or None, seconds or None, seed, representation, dtype, clips_per_shard or None
    )
    if dry_run:
        from ..run.estimate.corpus import print_corpus_plan

        return print_corpus_plan(request, controls, hours, sample, encodec)
    if hours or encodec:
        raise UserError("--hours and --encodec belong to a plan; add --dry-run, or leave them out")
    task, tasks = _array_task(shard)
    layout, _ = open_request(request)
    shard_ids = layout.shard_ids(_splits(layout, split), task, tasks)
    _print_work(layout, _encode(request, layout, controls, shard_ids, jobs))
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
    from ...representations.latents.encode import EncodingRequest, open_request
    from ...representations.latents.store import check_store

    request = EncodingRequest(corpus, clips or None, seconds or None, seed, representation, dtype)
    layout, _ = open_request(request)
    splits = _splits(layout, split)
    good, bad = 0, []
    for found in check_store(layout, splits):
        if found is None:
            good += 1
            continue
        bad.append(found)
        if len(bad) <= SHOWN:
            again = _command_for(request, split, found.control, found.task)
            print(f"{layout.folder / found.name}.safetensors {found.reason}; make it again: {again}")
    if bad:
        raise UserError(
            f"{len(bad)} of {count(len(bad) + good, 'file')} in {layout.folder} bad, named above; "
            "`bench data prepare` with the same options makes them again"
        )
    print(f"{layout.folder}: {count(good, 'file')}, all as they were written")


def _array_task(text: str) -> tuple[int, int]:
    """``"3/100"`` -> task 3 of 100; empty text -> task 0 of 1.

    Raises:
        UserError: not I/N with 0 <= I < N.
    """
    task, slash, tasks = text.partition("/")
    if not text:
        return 0, 1
    if not (slash and task.isdigit() and tasks.isdigit() and int(task) < int(tasks)):
        raise UserError(f"--shard {text!r}: expected I/N with I from 0 to N - 1, for example 3/100")
    return int(task), int(tasks)


def _splits(layout: StoreLayout, selected: Sequence[str]) -> list[str]:
    """The splits that were asked for, or all that have clips.

    Raises:
        UserError: the corpus has no such split.
    """
    for split in selected:
        layout.corpus.clips(split)
    return list(selected) or [split for split, clips in layout.corpus.clips_by_split.items() if clips]


def _encode(
    request: EncodingRequest, layout: StoreLayout, controls: Sequence[str], shard_ids: Sequence[ShardId], jobs: int
) -> EncodingWork:
    """Encode the shards with progress bars, and update the manifest."""
    from ...representations.latents.controls import control_specs
    from ...representations.latents.encode import fill_store
    from ...representations.latents.encoded import progress_bars
    from ...representations.latents.store import update_manifest

    control_specs(controls, layout.spec)
    clips = sum(len(layout.shard(*shard_id).clips) for shard_id in shard_ids)
    with progress_bars(dict.fromkeys(("latents", *controls), clips), sys.stderr.isatty()) as advance:
        work = fill_store(request, shard_ids, controls, jobs, advance)
    update_manifest(layout)
    return work


def _print_work(layout: StoreLayout, work: EncodingWork) -> None:
    for what, audio in work.audio.items():
        cpu = work.cpu[what]
        print(f"{what}: {audio:,.0f} s of audio in {cpu:,.1f} CPU-s: {audio / cpu:,.0f} times real time per core")
    if work.skipped:
        print(f"{count(work.skipped, 'file')} stored before, with the right checksum")
    stored = [path.stat().st_size for path in layout.folder.glob("*.safetensors")]
    print(f"{layout.folder}: {count(len(stored), 'file')}, {size(sum(stored))}")


def _command_for(request: EncodingRequest, splits: Sequence[str], control: str, task: str) -> str:
    """The command with which array task ``task`` makes one shard again."""
    options: dict[str, object] = {
        "--representation": request.representation if request.representation != "codec_builtin" else None,
        "--controls": control or None, "--dtype": request.dtype if request.dtype != "float32" else None,
        "--clips": request.clips, "--seconds": request.seconds, "--seed": request.seed or None,
    }  # fmt: skip
    words = [word for split in splits for word in ("--split", split)]
    words += [str(word) for pair in options.items() if pair[1] is not None for word in pair]
    return shlex.join(["bench", "data", "prepare", request.corpus, *words, "--shard", task])
