"""How speed is measured: one tracker for every system, so that a figure says something about the system.

One sample is: synchronise, device event, work, device event, synchronise; its time is that of the wall clock around all
of it, and beside it that of the device between the events (``sampling``). Before the first sample the full-shape work
has run several times (``rounds``). Systems that are compared take their samples in turns, so that whatever the machine
does hits all alike. Sampling stops by a rule that knows when enough is enough, or at a cap, and then the criteria that
were not met are named (``stopping``). The figure is the median with its order-statistic interval; a percentile is given
only where the number of samples supports it (``summary``). Beside the times stand the memory at its peak (``memory``),
what the device did meanwhile (``processor``, ``board``: clocks, temperature, power, throttling, load from others) and
what it can do at best (``rates``: copy bandwidth, matrix rate).

``python -m paradigm_bench.benchmarks.axes.latency.tracker`` prints what the tracker itself costs on this machine.

Sources: MLPerf inference's rule for percentiles; NVBench's sample, stop rule and throttling; asv's interleaved rounds;
optimum-benchmark's raw values and tests against known sleeps and allocations.
"""
