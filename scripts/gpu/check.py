"""``check``: are the results of a GPU correct? Every comparison is one line. A comparison that fails does not end the
part.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpu.journal import AGAIN, Journal, explained
from paradigm_bench.common.console import table

Comparison = tuple[str, Callable[[], float], Callable[[], float]]
"""Name, function that computes the error, function that returns its limit."""


def run(results: Path, work: Path, dry: bool, until: float) -> int:
    """Make all comparisons; returns the exit status.

    After an error such as an illegal memory access, the process cannot use the GPU any more. Then the status is
    ``AGAIN``, and a new process continues with the next comparison.
    """
    import torch

    from paradigm_bench.common.precision import float32_products
    from paradigm_bench.paradigms.session import simulated_captures

    device = "cpu" if dry else "cuda"
    torch.set_num_threads(1 if dry else 4)  # more threads do not speed up small models
    about = {"device": "cpu" if dry else torch.cuda.get_device_name(), "torch": torch.__version__, "dry": dry}
    journal = Journal(results / "check.json", "check", until, **about)
    with float32_products("fp32", device), simulated_captures() if dry else contextlib.nullcontext():
        return compare_all(journal, comparisons(device, dry), work / "logs" / "check.txt", gpu_lost if not dry else no)


def compare_all(journal: Journal, found: Iterable[tuple[str, Comparison]], log: Path, lost: Callable[[], bool]) -> int:
    """Make the comparisons that are not in the journal yet; returns the exit status.

    Args:
        lost: whether this process cannot use the GPU any more.
    """
    for group, comparison in itertools.islice(found, len(journal.lines), None):
        compare(journal, group, comparison, log)
        if not journal.lines[-1]["ok"] and lost():
            return AGAIN
    return journal.finish()


def gpu_lost() -> bool:
    """Whether an earlier error has made the GPU unusable for this process."""
    import torch

    try:
        return float(torch.ones(1, device="cuda").cpu()) != 1
    except Exception:
        return True


def no() -> bool:
    """A CPU is never lost."""
    return False


def compare(journal: Journal, group: str, comparison: Comparison, log: Path) -> None:
    """Make one comparison and add its line; the traceback of an exception goes to the file ``log``."""
    name, compute, get_limit = comparison
    error = limit = float("nan")
    note = ""
    try:
        error, limit = float(compute()), float(get_limit())
    except Exception as raised:
        note = explained(name, raised, log)
    ok = error <= limit  # False for NaN
    text = f"{'ok' if ok else 'WRONG':6}{name:62}{note or f'{error:.1e} (limit {limit:.1e})'}"
    journal.add(text, group=group, name=name, ok=ok, error=error, limit=limit, note=note)


def comparisons(device: str, dry: bool) -> Iterator[tuple[str, Comparison]]:
    """All comparisons, each with the name of its group, the most important groups first.

    A capture that fails comes last, because the process captures no step after it.
    """
    from gpu import failing, learning, noise, prompts
    from gpu.toys import DRY, FULL, LEARNING
    from paradigm_bench import paradigms

    size, names = DRY if dry else FULL, paradigms.names()
    yield from in_group("noise", noise.comparisons(device))
    yield from samples(device, size, names)
    for name in names:
        yield from in_group("batches", prompts.comparisons(name, device, size))
    for what in ("gradients", "runs", "resuming"):
        for name in names:
            found = learning.comparisons(name, what, device, DRY if dry else LEARNING)
            yield from in_group("training", found)
    yield from in_group("failure", failing.comparisons(device))


def samples(device: str, size: Any, names: list[str]) -> Iterator[tuple[str, Comparison]]:
    """Comparisons of sampled clips: plain prompts, then controls, then inpainting."""
    from gpu.sampling import SamplingSetting
    from gpu.sampling import comparisons as of
    from paradigm_bench import paradigms

    for text, dtype, name in itertools.product(("cross", "prefix"), ("fp32", "bf16"), names):
        yield from in_group("sampling", of(SamplingSetting(name, text, dtype), device, size))
    for name in names:
        for dtype, branches in (("fp32", 2), ("fp32", 3), ("bf16", 3)):
            yield from in_group("controls", of(SamplingSetting(name, "cross", dtype, True, branches), device, size))
    for name, dtype in itertools.product(names, ("fp32", "bf16")):
        if paradigms.find(name).inpaints:
            yield from in_group("inpainting", of(SamplingSetting(name, "cross", dtype, inpainting=True), device, size))


def in_group(group: str, found: Iterator[Comparison]) -> Iterator[tuple[str, Comparison]]:
    """The comparisons with the name of their group. An exception in preparing them becomes a comparison that fails."""
    try:
        for comparison in found:
            yield group, comparison
    except Exception as error:
        yield group, (f"{group}: preparation", raising(error), lambda: 0.0)


def raising(error: Exception) -> Callable[[], float]:
    """A function that raises ``error``."""

    def compute() -> float:
        raise error

    return compute


def summary(found: Mapping[str, Any]) -> str:
    """Table of the number of comparisons per group that are ok and wrong, and one line for each wrong one."""
    ok = Counter(line["group"] for line in found["lines"] if line["ok"])
    wrong = Counter(line["group"] for line in found["lines"] if not line["ok"])
    rows = [[group, ok[group], wrong[group]] for group in dict.fromkeys([*ok, *wrong])]
    bad = [f"WRONG {line['name']}: {line['note'] or line['error']}" for line in found["lines"] if not line["ok"]]
    return "\n".join([table(["comparisons", "ok", "wrong"], rows), *bad])
