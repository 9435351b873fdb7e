"""How speed is measured: one tracker for every system, so that times say something about the systems.

One sample is: synchronise, device event, work, device event, synchronise. Its time is that of the wall clock around all
of it; beside it stands the time between the events. Before the first sample the full-size work has run several times.
Systems that are compared take their samples in turns, so that the state of the machine affects all alike
(``sampling``). Sampling ends by a rule that knows when there are enough samples, or at a cap; the criteria that were
not met are then named. The result is the median with its order-statistic interval; a percentile is given only where
the number of samples supports it (``statistics``). Beside the times stand the peak of memory (``common.memory``), the
state of the devices meanwhile (``monitor``) and the rates that they reach at best (``common.device_rates``).

``python -m paradigm_bench.benchmarks.axes.latency.tracker`` prints what the tracker itself costs on this machine, and
``... .tracker.controls`` what temporal controls add to a training step.

Sources: MLPerf inference's rule for percentiles; NVBench's sample, stop rule and throttling; asv's interleaved rounds;
optimum-benchmark's raw values and tests against known sleeps and allocations.
"""
