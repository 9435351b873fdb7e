"""What the referee measures, one small module per metric, in float64 numpy: arrays in, a number with its n out.

Nothing here knows audio, a network or a file: embeddings, class posteriors and labels come from
``benchmarks.evaluators``, intervals and verdicts from ``benchmarks.metrics.statistics``.
"""
