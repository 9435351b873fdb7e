"""``speed``: latency at full size in bf16. The most important cells come first, and cells that do not fit into the time
that is left are left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu.journal import Journal
from gpu.studies import measure, problem
from paradigm_bench.common.console import table

if TYPE_CHECKING:
    from paradigm_bench.benchmarks.analysis.records import Record
    from paradigm_bench.benchmarks.study.cells import Cell
    from paradigm_bench.benchmarks.study.study import Study

ROOT = Path(__file__).resolve().parent.parent.parent
STUDY = "gpu_speed"
Key = tuple[str, int, float]
"""Arm, batch size, seconds of a clip."""

# First one clip, the batch size of most goals, and the smallest batch size of the goal of FM. Then the batch sizes
# around the crossover of AR and FM, which the cost model expects at 4. Last, longer clips.
ORDER: tuple[Key, ...] = (
    *((arm, batch, 10) for batch in (1, 64, 8) for arm in ("ar", "fm-50")),
    *((arm, batch, 10) for arm, batch in (("mar", 64), ("mntp", 1), ("mar", 1), ("mntp", 64))),
    *((arm, batch, 10) for batch in (4, 2, 16, 32, 128, 256) for arm in ("ar", "fm-50")),
    *((arm, batch, 30) for batch in (1, 8) for arm in ("ar", "fm-50")),
)
DRY_ORDER: tuple[Key, ...] = (
    *((arm, batch, 1) for batch in (1, 2) for arm in ("ar", "fm-50")),
    *((arm, 1, 1) for arm in ("mar", "mntp")),
)

# Settings by arms. AR and FM keep the stop rule of the study, which takes at least six samples: with fewer, a median
# has no interval, and the crossover cannot be decided. MAR and MNTP need no interval, and they are slow.
ARMS: dict[tuple[str, ...], tuple[str, ...]] = {("ar", "fm-50"): (), ("mar", "mntp"): ("latency.stop.cap_seconds=8",)}
DRY = (
    "backbone.preset=tiny", "latency.device=cpu", "latency.dtype=fp32", "latency.threads=1", "latency.frame_rate=null",
    "latency.first_audio_seconds=0.1",
    "latency.stop={samples: 1, seconds: 0, spread: 10, cap_samples: 1, cap_seconds: 1, warm_ups: 0}",
)  # fmt: skip
DRY_SWEEPS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("ar", "fm-50"): ("arms.fm-50.sampler.steps=2",),
    ("mar", "mntp"): ("arms.mar.sampler.iterations=3", "arms.*.sampler.diffusion_steps=3"),
}


@dataclass(frozen=True)
class Goal:
    """What an arm should reach at some batch sizes.

    Attributes:
        first, last: smallest and largest of these batch sizes.
        latency_s: largest latency. None: the goal is a share of the bound.
        share: smallest share of the bound.
    """

    arm: str
    first: int
    last: int
    latency_s: float | None = None
    share: float = 0.0

    def verdict(self, latency_s: float, share: float) -> str:
        """The goal, and whether it is met."""
        if self.latency_s is not None:
            return f"under {self.latency_s:g} s: {'met' if latency_s < self.latency_s else 'missed'}"
        return f"{self.share:.0%} of the bound: {'met' if share >= self.share else 'missed'}"


GOALS = (
    Goal("ar", 1, 1, latency_s=0.4), Goal("ar", 64, 64, share=0.6), Goal("fm-50", 8, 256, share=0.6),
    Goal("mar", 64, 64, share=0.5), Goal("mntp", 1, 1, latency_s=2.5),
)  # fmt: skip


def run(results: Path, work: Path, dry: bool, until: float) -> int:
    """Measure the cells in order; returns the exit status.

    Args:
        until: Unix time at which the part is stopped.
    """
    from gpu.plan import Planner
    from paradigm_bench.common.environment import device_name

    planner = Planner("cpu", start_s=5.0) if dry else Planner(device_name("cuda"))
    chosen = cells(dry)
    plan = [{"cell": title(key), "seconds": round(planner.seconds(cell), 1)} for key, (_, cell, _) in chosen.items()]
    about = {"device": planner.device, "dry": dry, "plan": plan, "left_out": []}
    journal = Journal(results / "speed.json", "speed", until, **about)
    print_plan(plan, until - time.time())
    for key, (study, cell, options) in chosen.items():
        with journal.guarded(title(key), work / "logs" / "speed.txt"):
            planned = planner.seconds(cell)
            if planned > until - time.time():
                journal.about["left_out"].append(title(key))
                journal.write()
                continue
            (record,), taken = measure([cell], study, work, options)
            line = line_of(key, record) | {"planned_s": round(planned, 1), "taken_s": round(taken, 1)}
            journal.add(text_of(line), **line)
            if line["ok"]:
                planner.learn(cell, record, taken)
                journal.about["crossover"] = crossover(work)
    return journal.finish()


def cells(dry: bool) -> dict[Key, tuple[Study, Cell, tuple[str, ...]]]:
    """The cells in order, each with its study and the options of the ``bench run`` command that measures it alone."""
    from paradigm_bench.benchmarks.study.load import load_study
    from paradigm_bench.benchmarks.study.sweep import expand

    order, found = DRY_ORDER if dry else ORDER, {}
    batches = ",".join(str(batch) for batch in sorted({batch for _, batch, _ in order}))
    durations = ",".join(f"{seconds:g}" for seconds in sorted({seconds for *_, seconds in order}))
    for arms, extra in ARMS.items():
        settings = DRY if dry else ("latency.device=cuda", *extra)
        sweeps = DRY_SWEEPS[arms] if dry else ()
        swept = [f"latency.batch={batches}", f"latency.seconds={durations}", *sweeps]
        study = load_study(STUDY, settings, arms, swept)
        for cell in expand(study):
            key = (cell.system, cell.config["setting"]["batch"], cell.config["setting"]["seconds"])
            found[key] = study, cell, options_of(key, settings, sweeps)
    return {key: found[key] for key in order}


def options_of(key: Key, settings: Sequence[str], sweeps: Sequence[str]) -> tuple[str, ...]:
    """Options of the ``bench run`` command that measures one cell."""
    arm, batch, seconds = key
    points = [f"latency.batch={batch}", f"latency.seconds={seconds:g}"]
    points += [sweep for sweep in sweeps if sweep.split(".")[1] in (arm, "*")]
    words = [word for setting in settings for word in ("--set", setting)]
    return "-p", arm, *words, *(word for point in points for word in ("--sweep", point))


def title(key: Key) -> str:
    """Name of a cell, such as ``ar batch 8, 10 s``."""
    arm, batch, seconds = key
    return f"{arm} batch {batch}, {seconds:g} s"


def line_of(key: Key, record: Record) -> dict[str, Any]:
    """The figures of a record that a line shows."""
    arm, batch, _ = key
    line: dict[str, Any] = {"name": title(key), "ok": record.status == "ok", "note": problem(record)}
    if not line["ok"]:
        return line
    latency, share = (record.metrics[name].value or 0.0 for name in ("latency_s", "bound_ratio"))
    on_gpu, unmet = record.cell["setting"]["device"] == "cuda", record.environment["speed"]["unmet"]
    goals = [
        goal.verdict(latency, share)
        for goal in GOALS
        if on_gpu and goal.arm == arm and goal.first <= batch <= goal.last
    ]
    notes = [reason for reason in unmet if "captured" in reason or "clock" in reason]
    figures = {"latency_s": latency, "share": share, "samples": record.metrics["latency_s"].n}
    return line | figures | {"goal": "; ".join(goals), "unmet": unmet, "note": "; ".join(notes)}


def text_of(line: Mapping[str, Any]) -> str:
    """A line as it is printed."""
    times = f"{line['taken_s']:.0f} s taken, {line['planned_s']:.0f} s planned"
    if not line["ok"]:
        return f"WRONG {line['name']}: {line['note']} ({times})"
    result = f"{line['latency_s']:.3g} s, {line['share']:.0%} of the bound"
    goal, note = (f"; {word} {line[word]}" if line[word] else "" for word in ("goal", "note"))
    return f"ok    {line['name']}: {result}{goal}{note} ({times})"


def print_plan(plan: Sequence[Mapping[str, Any]], left_s: float) -> None:
    """Print the estimate of each cell, and how many cells fit into the time that is left."""
    total, rows = 0.0, []
    for one in plan:
        total += one["seconds"]
        rows.append([one["cell"], round(one["seconds"]), round(total)])
    print(table(["cell, in order", "planned s", "sum s"], rows))
    print(f"time for the first {sum(row[2] <= left_s for row in rows)} of {len(rows)} cells", flush=True)


def crossover(work: Path) -> list[str]:
    """From which batch size on AR is faster than FM, by all records so far, and what the paper states; in words."""
    from paradigm_bench.benchmarks.analysis.records import load_records
    from paradigm_bench.benchmarks.axes.latency.report.crossover import published_speeds, sentences
    from paradigm_bench.benchmarks.axes.latency.report.sweeps import make_sweeps
    from paradigm_bench.benchmarks.report.chapter import StudyRecords

    folder, speeds = work / "results" / STUDY, published_speeds()
    sweeps = make_sweeps(StudyRecords(STUDY, folder, load_records(folder)[0]))
    return [sentence for sweep in sweeps for sentence in sentences(sweep, speeds)]


def summary(found: Mapping[str, Any]) -> str:
    """Table of the cells, the cells that were left out, and the crossover of AR and FM."""
    rows = [
        [
            line["name"],
            f"{line['latency_s']:.3g} s" if line["ok"] else line["note"],
            f"{line['share']:.0%}" if line["ok"] else "",
            line.get("goal", ""),
            line.get("planned_s", ""),
            line.get("taken_s", ""),
        ]
        for line in found["lines"]
    ]
    shown = table(["cell", "latency", "share of bound", "goal", "planned s", "taken s"], rows)
    left_out = [f"left out for lack of time: {'; '.join(found['left_out'])}"] if found["left_out"] else []
    return "\n".join([shown, *left_out, *found.get("crossover", ())])
