"""The cost of the tracker on this machine: ``python -m paradigm_bench.benchmarks.axes.latency.tracker``.

``inside the clock`` is what the tracker adds to every sample: the time of an empty function. ``around the clock`` is
the time from one sample of an empty function to the next, which makes a run longer but no measured time.
"""

from __future__ import annotations

import time

from .....common.console import table
from .sampling import measure, overhead_s, warm_up
from .statistics import StopRule

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
