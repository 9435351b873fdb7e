"""``train``: a small model of each paradigm is trained for less than a minute, sampled, and scored."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu.journal import Journal
from gpu.studies import measure, problem
from paradigm_bench.common.console import table

if TYPE_CHECKING:
    from paradigm_bench.benchmarks.analysis.records import Record
    from paradigm_bench.benchmarks.study.cells import Cell
    from paradigm_bench.benchmarks.study.study import Study
    from paradigm_bench.corpora.spec import CorpusChoice

ROOT = Path(__file__).resolve().parent.parent.parent
STUDY = "gpu_small"
METRICS = ("kad_musicnn", "kad_logmel", "band_level_logmel", "clap_builtin", "adherence_builtin")
BESIDE_S = 20.0
"""Guess of the seconds that an arm needs beside training: start, loading, sampling and scoring."""
REFERENCES_S = 40.0
"""Guess of the seconds that all references need."""
DRY = (
    "backbone.preset=tiny", "corpus={spec: builtin, clips: 64, seconds: 2.0}", "evaluation.prompts=4",
    "evaluation.references=[real]", "evaluation.keep_audio=1",
    "train.batch=4", "train.seconds=2.0", "train.log_every=1", "train.budget.amount=0.3",
)  # fmt: skip
DRY_SWEEPS = (
    "arms.fm.sampler.steps=2", "arms.mar.sampler.iterations=3", "arms.mar.sampler.diffusion_steps=3",
    "arms.mntp.sampler.diffusion_steps=3", "arms.masked_fm.sampler.steps=2", "arms.masked_fm.sampler.iterations=2",
)  # fmt: skip


def run(results: Path, work: Path, dry: bool, until: float) -> int:
    """Encode the corpus, train and score every arm, and score the references; returns the exit status.

    The references come last because they need no GPU: if they are left out, any machine can measure them later.

    Args:
        until: Unix time at which the part is stopped.
    """
    from paradigm_bench.benchmarks.study.load import load_study
    from paradigm_bench.benchmarks.study.sweep import expand
    from paradigm_bench.common.environment import device_name

    device, log = "cpu" if dry else device_name("cuda"), work / "logs" / "train.txt"
    study = load_study(STUDY, DRY if dry else (), sweeps=DRY_SWEEPS if dry else ())
    journal = Journal(results / "train.json", "train", until, device=device, dry=dry, left_out=[])
    with journal.guarded("corpus", log):
        clips, taken = encode(study.corpus, study.representation, 2 if dry else os.cpu_count() or 1, work)
        text = f"ok    corpus: {clips:,} clips encoded in {taken:.0f} s"
        journal.add(text, name="corpus", ok=True, note="", seconds=round(taken, 1))
    wanted = expand(study)
    if importlib.util.find_spec("librosa") is None:  # which separates the drums of a clip
        wanted = [cell for cell in wanted if cell.system != "sine_chords"]
        journal.about["left_out"].append("sine_chords, which needs librosa")
    for name, cells in groups(wanted).items():
        with journal.guarded(name, log):
            if estimate(study, cells) > until - time.time():
                journal.about["left_out"].append(name)
                journal.write()
                continue
            records, taken = measure(cells, study, work, options_of(cells, dry))
            line = line_of(name, records) | {"seconds": round(taken, 1)}
            journal.add(text_of(line), **line)
    return journal.finish()


def encode(corpus: CorpusChoice, representation: str, jobs: int, work: Path) -> tuple[int, float]:
    """Render and encode the training clips in ``jobs`` processes, unless the store of latents exists already.

    A clip of 4 s takes 15 ms on one core, so 8,000 clips would take a single process two minutes.

    Returns:
        Number of clips, and how many seconds this took.
    """
    from paradigm_bench.representations.latents.encode import EncodingRequest, open_request

    start = time.perf_counter()
    layout, _ = open_request(EncodingRequest(corpus.spec, corpus.clips, corpus.seconds, corpus.seed, representation))
    clips = len(layout.clips("train"))
    if layout.manifest.exists():
        return clips, time.perf_counter() - start
    options = {
        "--split": "train", "--jobs": jobs, "--clips-per-shard": -(-clips // jobs), "--clips": corpus.clips,
        "--seconds": corpus.seconds, "--seed": corpus.seed, "--representation": representation,
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    bench = [
        sys.executable,
        "-c",
        "from paradigm_bench.benchmarks.cli.main import main; main()",
        "data",
        "prepare",
        corpus.spec,
        *words,
    ]
    (work / "logs").mkdir(parents=True, exist_ok=True)
    with open(work / "logs" / "encoding.txt", "wb") as lines:
        subprocess.run(bench, cwd=ROOT, stdout=lines, stderr=subprocess.STDOUT, check=True)
    return clips, time.perf_counter() - start


def groups(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Name -> the cells of each arm; the references are last."""
    found: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.kind == "reference"):
        found.setdefault("references" if cell.kind == "reference" else cell.system, []).append(cell)
    return found


def estimate(study: Study, cells: Sequence[Cell]) -> float:
    """Estimated seconds of a group."""
    return REFERENCES_S if cells[0].kind == "reference" else BESIDE_S + study.train.budget.amount


def options_of(cells: Sequence[Cell], dry: bool) -> tuple[str, ...]:
    """Options of the ``bench run`` command that measures a group."""
    words = [word for setting in DRY * dry for word in ("--set", setting)]
    if cells[0].kind == "reference":
        return tuple(words)
    sweeps = [word for sweep in DRY_SWEEPS * dry for word in ("--sweep", sweep)]
    return ("-p", cells[0].system, *words, *sweeps)


def line_of(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """The figures that a line shows, of the record of an arm or of the records of the references."""
    note = next(filter(None, map(problem, records)), "")
    line: dict[str, Any] = {"name": name, "ok": not note, "note": note}
    training = records[-1].training
    if note or training is None:
        return line | {"systems": [record.system for record in records]}
    seconds = max(training.wall_seconds, 1e-9)
    return line | {
        "updates": training.updates,
        "updates_per_s": training.updates / seconds,
        "flops_per_s": (training.flops or 0.0) / seconds,
        "loss": training.curve["loss"][-1],
        "parameters": sum(training.parameters.values()),
        "seconds_per_clip": records[-1].timing["seconds_per_clip"],
        **{metric: records[-1].metrics[metric].value for metric in METRICS if metric in records[-1].metrics},
    }


def text_of(line: Mapping[str, Any]) -> str:
    """A line as it is printed."""
    if not line["ok"]:
        return f"WRONG {line['name']}: {line['note']} ({line['seconds']:.0f} s)"
    if "updates" not in line:
        return f"ok    {line['name']}: {', '.join(line['systems'])} ({line['seconds']:.0f} s)"
    updates = f"{line['updates']:,} updates, {line['updates_per_s']:.1f} per s"
    scores = ", ".join(f"{metric} {line[metric]:.3g}" for metric in METRICS if line.get(metric) is not None)
    return f"ok    {line['name']}: {updates}, loss {line['loss']:.3f}; {scores} ({line['seconds']:.0f} s)"


def summary(found: Mapping[str, Any]) -> str:
    """Table of the arms, the lines that are wrong, and what was left out."""
    rows = [
        [
            line["name"],
            line["updates"],
            round(line["updates_per_s"], 1),
            f"{line['flops_per_s'] / 1e12:.3g}",
            f"{line['loss']:.3f}",
            *("" if line.get(metric) is None else f"{line[metric]:.3g}" for metric in METRICS),
            f"{line['seconds_per_clip']:.3g}",
            line["seconds"],
        ]
        for line in found["lines"]
        if "updates" in line
    ]
    scores = [metric.removesuffix("_builtin") for metric in METRICS]
    shown = table(["arm", "updates", "per s", "TFLOP/s", "loss", *scores, "s / clip", "taken s"], rows)
    wrong = [f"WRONG {line['name']}: {line['note']}" for line in found["lines"] if not line["ok"]]
    left_out = [f"left out: {', '.join(found['left_out'])}"] if found["left_out"] else []
    return "\n".join([shown, *wrong, *left_out])
