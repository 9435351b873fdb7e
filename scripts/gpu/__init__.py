"""The modules of ``scripts/gpu.py``, which checks, times and trains on a machine with a GPU.

    journal.py       lines of a part: printed, and written to a JSON file
    process.py       runs a part in a process of its own and stops it at its time limit
    archive.py       packs everything worth bringing back into one file

    check.py         the part ``check``: all comparisons in order
    toys.py          small models, prompts and clips for the comparisons
    noise.py         comparisons of random numbers
    sampling.py      comparisons of sampled clips
    prompts.py       comparisons over several batches of prompts
    failing.py       the comparison after a capture that fails
    learning.py      comparisons of training

    studies.py       runs single cells of a study
    speed.py         the part ``speed``: latency cells in order
    plan.py          estimates how long a latency cell takes
    train.py         the part ``train``: a small training study

    wheels.py        downloads packages that the machine with the GPU lacks

``journal``, ``process``, ``archive`` and ``wheels`` need the standard library only.
"""

NO_GPU = WRONG_INPUT = 2
"""Exit status if there is no GPU, and if an argument is wrong. Nothing has been started then."""
INTERRUPTED = 130
"""Exit status after Ctrl-C."""
