"""``python -m paradigm_bench.benchmarks.axes.latency.tracker``: what the tracker costs on this machine, measured by itself.

``inside the clock`` is what it adds to every sample: the time of an empty function. ``around the clock`` is the time
from one sample of an empty function to the next, which lengthens a run and no figure.
"""

from __future__ import annotations

import time

from .....common.console import table
from .overhead import overhead_s
from .rounds import measure, warm_up
from .stopping import StopRule

SAMPLE_S = 0.1


def main() -> None:
    """Measure and print."""
    inside = overhead_s()
    rule = StopRule(samples=1000, seconds=0, spread=1e9, cap_samples=1000)
    series = warm_up(lambda: None, rule)
    start = time.perf_counter()
    measure([series], rule)
    around = (time.perf_counter() - start) / len(series.samples)
    rows = [[name, s * 1e6, s / SAMPLE_S] for name, s in (("inside the clock", inside), ("around the clock", around))]
    print(table(["tracker", "microseconds per sample", f"share of a {SAMPLE_S * 1e3:.0f} ms sample"], rows))


if __name__ == "__main__":
    main()
