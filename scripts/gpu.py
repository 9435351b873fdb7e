"""Everything that only a GPU can show: are its results correct, how fast is it, does training work on it?

    python3 scripts/gpu.py check                     captured steps, GPU against CPU, noise, training; 2 minutes
    python3 scripts/gpu.py speed --results DIR       latency at full size in bf16; 5 minutes
    python3 scripts/gpu.py train --results DIR       five small models, trained and scored; 6 minutes
    python3 scripts/gpu.py all --results DIR         all three parts
    python3 scripts/gpu.py all --dry                 all three parts at toy size on a CPU; 1 minute
    python3 scripts/gpu.py wheels DIR                download the packages that a GPU machine without network may lack

Each part has a time limit. A part that reaches its limit is stopped, and its results so far are kept. DIR gets one JSON
file per part, written again after every line, and results.tar.gz with all records, logs and some audio. The exit status
is 0 if all is well, 1 if something is wrong or was stopped, 2 if there is no GPU or an argument is wrong, and 130 after
Ctrl-C. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import importlib
import math
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from checkout import ROOT, use_checkout

use_checkout()

from gpu import INTERRUPTED, NO_GPU, WRONG_INPUT

from paradigm_bench.common.errors import UserError

if TYPE_CHECKING:
    from gpu.process import RunFolders

LIMITS = {"check": 120.0, "speed": 300.0, "train": 360.0}


def main() -> int:
    """Read the command line and do what it says; returns the exit status."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a part starts with Ctrl-C blocked
        from gpu.process import RunFolders

        given = parser().parse_intermixed_args()
        if given.inside is None:
            return run(given)
        return inside(given.part, RunFolders(given.results, given.work), given.dry, given.inside)
    except UserError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C while Python ends would print a traceback
        return INTERRUPTED


def run(given: argparse.Namespace) -> int:
    """Run the parts that the command line names; returns the exit status.

    Raises:
        UserError: an argument is wrong.
    """
    from gpu.process import RunFolders, run_parts

    if given.part == "wheels":
        from gpu.wheels import gather

        return gather(given.folder or Path("wheels"), given.dry)
    if given.folder:
        raise UserError(f"{given.part} takes no folder {given.folder}; use --results {given.folder}")
    work = given.work / ("dry" if given.dry else "full")
    results = given.results or (work if given.dry else given.work)  # a dry run keeps the results of a real one
    folders = RunFolders(results.resolve(), work.resolve())
    parts = list(LIMITS) if given.part == "all" else [given.part]
    return run_parts({part: given.limit or LIMITS[part] for part in parts}, folders, given.dry)


def inside(part: str, folders: RunFolders, dry: bool, until: float) -> int:
    """Run a part in this process; returns the exit status."""
    if not dry and not gpu_is_there():
        print("no GPU: torch finds none on this machine; --dry runs the same at toy size on the CPU")
        return NO_GPU
    print(f"== {part}: at most {until - time.time():.0f} s", flush=True)
    status: int = importlib.import_module(f"gpu.{part}").run(folders.results, folders.work, dry, until)
    return status


def gpu_is_there() -> bool:
    """Whether torch finds a GPU."""
    import torch

    return torch.cuda.is_available()


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and exit."""
        self.exit(WRONG_INPUT, f"gpu.py: {message}; see --help\n")


def seconds(text: str) -> float:
    """A time limit.

    Raises:
        argparse.ArgumentTypeError: it is not a finite positive number.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds; give one such as 120")
    return number


def parser() -> Parser:
    """Parser of the command line."""
    made = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("part", choices=[*LIMITS, "all", "wheels"])
    made.add_argument("folder", nargs="?", type=Path, help="wheels: where they are saved")
    made.add_argument("--results", type=Path, help="folder for JSON files and archive; see docs/gpu.md")
    made.add_argument("--work", type=Path, default=ROOT / "runs" / "gpu", help="folder for records, checkpoints, logs")
    made.add_argument("--limit", type=seconds, help="time limit of each part in seconds, instead of its own")
    made.add_argument("--dry", action="store_true", help="toy size on the CPU, with simulated captures")
    made.add_argument("--inside", type=float, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    sys.exit(main())
