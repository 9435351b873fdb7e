"""Metrics: functions from float64 arrays to numbers, one module per family, each with its definition and source.

    catalogue.py       every metric: better end, scope, range, unit
    frechet.py         fad, fad_inf                     posteriors.py      is, kl
    kad.py             kad                              adherence.py       adherence, clap
    mauve.py           mad                              control.py         chord_iou, beat_f1, melody_chroma ...
    manifold.py        precision, recall, density ...   seam.py            seam
    replication.py     replication, replication_share
    reconstruction.py  si_snr, log_msd, visqol ...      entropy.py         entropy_early, entropy_late
    statistics.py      intervals, paired comparisons, Holm's correction, verdicts
    variance.py        variance components of prompts crossed with seeds

Embeddings, class posteriors and similarities come from ``benchmarks.evaluators``, which also calls the metrics of a set
(``panel.py``).
"""
