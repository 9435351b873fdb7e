"""Studies as job arrays: the cells of one study as the elements of one array on SLURM, or on this machine.

Read in this order: ``site`` (what a job asks for), ``manifest`` (what was submitted, as a file), ``submit``, ``task``
(what runs inside an element), ``scheduler`` (what became of the elements), ``status`` (what became of the cells). The
measuring itself is the runner's (benchmarks/run/runner.py), whether it runs here or in an array. docs/cluster.md shows it
from the user's side.
"""
