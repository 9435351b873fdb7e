"""A study under fire: an array on a real Slurm whose tasks are killed at random, resumed until every cell is measured.

    python tests/under_fire.py --cells 60 --kills 12 --seed 0

The cells are those of tests/fake_axis.py that draw their figures from their seed and take two seconds for it. The study
runs undisturbed first (on this machine, without Slurm), then as an array while the seeds of ``--seed`` choose what is
killed and when: workers, runners and whole elements by SIGKILL, elements by scancel; besides, elements are cancelled
before they start, requeued from outside and preempted by USR2, and slurmctld is killed and started again in the middle.
At the end there must be one good record per cell, with the figures of the undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onenode import Cluster, slurm

from paradigm_bench.benchmarks.analysis.records import GOOD, Record, load_records, read_items
from paradigm_bench.benchmarks.cli.main import status as bench
from paradigm_bench.common.errors import UserError
from paradigm_bench.slurm.manifest import submissions
from paradigm_bench.slurm.scheduler import element_states
from paradigm_bench.slurm.status import CellStatus, status, summary

TESTS = Path(__file__).resolve().parent
WORK, RESULTS = Path("runs"), Path("my_results/fire")


@dataclass
class Fire:
    """Chooses what is hit; ``kills`` counts what ended a running task, ``besides`` the rest."""

    cluster: Cluster
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    besides: Counter[str] = field(default_factory=Counter)

    def shoot(self) -> bool:
        """Aim at one thing; returns whether it was there, and hit."""
        name, counts, aim = self.rng.choice(
            [
                ("worker, SIGKILL", self.kills, lambda: self._process("paradigm_bench.benchmarks.run.worker")),
                ("runner, SIGKILL", self.kills, lambda: self._process("paradigm_bench.slurm.task")),
                ("element, SIGKILL", self.kills, lambda: self._process("submitit.core._submit")),
                ("running element, scancel", self.kills, lambda: self._element("running", "scancel")),
                ("waiting element, scancel", self.besides, lambda: self._element("queued", "scancel")),
                ("requeue from outside", self.besides, lambda: self._element("running", "scontrol", "requeue")),
                ("preemption, USR2", self.besides, lambda: self._element("running", "scancel", "--signal=USR2")),
            ]
        )
        hit = aim()
        counts[name] += hit
        return hit

    def restart_controller(self) -> None:
        """Kill slurmctld and start it again."""
        self.cluster.kill_controller()
        time.sleep(1.0)
        self.cluster.up()
        self.besides["slurmctld, SIGKILL and restart"] += 1

    def _process(self, module: str) -> bool:
        listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        here = str(WORK.resolve())
        pids = [int(line.split()[0]) for line in listed.splitlines() if f"-m {module} " in line and here in line]
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.rng.choice(pids), signal.SIGKILL)
            return True
        return False

    def _element(self, state: str, *command: str) -> bool:
        found = [
            submission.manifest.element_id(index)
            for submission in submissions(WORK, "fire")
            for index, element in enumerate(element_states(submission))
            if element.state == state
        ]
        return bool(found) and subprocess.run([*command, self.rng.choice(found)], capture_output=True).returncode == 0


def under_fire(cluster: Cluster, cells: int, kills: int, seed: int, parallel: int) -> dict[str, Any]:
    """Do all of it in the current folder; returns what there is to tell."""
    study = Path("fire.yaml")
    study.write_text(
        "title: Under fire\naxis: fake_axis:FakeAxis\n"
        f"arms: [{{paradigm: tiny, options: {{does: seeded}}}}]\nseeds: {list(range(cells))}\n"
    )
    calm = ["--cluster", "debug", "--array-parallelism", str(parallel), "--results", "calm", "--work", "calm-runs"]
    _command("submit", str(study), *calm)
    begun = time.monotonic()
    _command("submit", str(study), "--array-parallelism", str(parallel), "--cpus", "1", "--mem", "0.5", "--time", "60")
    fire, resumed = Fire(cluster, random.Random(seed)), 0
    while True:
        now = _look()
        if not any(cell.state in ("queued", "running") for cell in now):
            if all(cell.state == "done" for cell in now):
                break
            _command("resume", "fire")
            resumed += 1
        if not any(cell.state == "running" for cell in now):
            # A controller that was killed forgets its last jobs and gives their numbers again, which may drain the node
            # ("Duplicate jobid"); bringing it back is the operator's task.
            fire.cluster.up()
        done = sum(cell.state == "done" for cell in now)
        due = min(kills, 1 + kills * 1.5 * done / cells)  # spread over the first two thirds of the work
        with contextlib.suppress(UserError):  # squeue may be too busy to answer
            for _ in range(20):
                if fire.kills.total() >= due or fire.shoot():
                    break
            if fire.kills.total() >= kills / 2 and not fire.besides["slurmctld, SIGKILL and restart"]:
                fire.restart_controller()
        time.sleep(fire.rng.uniform(0.2, 1.5))
    seconds = time.monotonic() - begun
    return {**_verdict(cells), "resumed": resumed, "seconds": seconds, "kills": fire.kills, "besides": fire.besides}


def _verdict(cells: int) -> dict[str, Any]:
    records, problems = load_records(RESULTS)
    good = Counter(record.id for record in records if record.status in GOOD)
    calm = {record.id: _figures(Path("calm/fire"), record) for record in load_records(Path("calm/fire"))[0]}
    same = sum(calm[r.id] == _figures(RESULTS, r) for r in records if r.status in GOOD)
    return {
        "cells": cells,
        "good": len(good),
        "duplicates": sum(good.values()) - len(good),
        "same": same,
        "broken files": len(problems),
        "other records": Counter(record.status for record in records if record.status not in GOOD),
        "status": summary(status(WORK, "fire")),
    }


def _figures(folder: Path, record: Record) -> Any:
    return record.metrics, read_items(folder, record)


def _look() -> list[CellStatus]:
    found = status(WORK, "fire")
    while any(cell.state == "unknown" for cell in found):
        time.sleep(1.0)
        found = status(WORK, "fire")
    return found


def _command(*line: str) -> None:
    for _ in range(5):
        if bench(list(line)) == 0:
            return
        time.sleep(5.0)  # the controller has just been restarted, say
    raise RuntimeError(f"bench {' '.join(line)} failed")


def table(found: dict[str, Any]) -> str:
    """What happened, as Markdown."""
    told: list[tuple[str, Any]] = [
        ("cells, each an element of the array", found["cells"]),
        ("running tasks killed", found["kills"].total()),
        *((f"– {name}", count) for name, count in sorted(found["kills"].items())),
        ("other disturbances", found["besides"].total()),
        *((f"– {name}", count) for name, count in sorted(found["besides"].items())),
        ("`bench resume`", found["resumed"]),
        ("good records", found["good"]),
        ("second good records of a cell", found["duplicates"]),
        ("good records with the figures of the undisturbed run", found["same"]),
        ("records of tries that failed, kept", found["other records"].total()),
        ("files that are no whole record", found["broken files"]),
        ("`bench status` at the end", found["status"]),
        ("seconds from submission to the last record", round(found["seconds"])),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in told)])


def perfect(found: dict[str, Any]) -> bool:
    """Every cell once, as if nothing had happened."""
    return (found["good"], found["same"], found["duplicates"], found["broken files"]) == (
        found["cells"], found["cells"], 0, 0,
    )  # fmt: skip


def main() -> int:
    """Run it by itself, in a folder and on a Slurm of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=8)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    with tempfile.TemporaryDirectory(prefix="fire-") as folder, slurm() as cluster:
        os.chdir(folder)
        found = under_fire(cluster, args.cells, args.kills, args.seed, args.parallel)
        os.chdir(TESTS)
    print(table(found))
    return 0 if perfect(found) else 1


if __name__ == "__main__":
    sys.exit(main())
