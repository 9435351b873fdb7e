"""What a study will take before any of it is run: time, memory and disk space, with every assumption.

    plan          a study that trains: GPU hours, memory and disk space (``bench plan``)
    dry_run       the cells of any study with their time and memory (``bench run --dry-run``)
    cells         time and memory of cells, from earlier records; axis ``latency`` has its own estimate
    corpus        encoding a corpus (``bench data prepare --dry-run``)
    devices       speed of a device
    timings       speed of training, sampling and scoring in the published records
    this_machine  the training runs of this machine
    sizes         memory in training, disk space

No data, weights or GPU are needed: models are built without memory for their weights, and count their own operations
(``Paradigm.training_cost``, ``Paradigm.cost``).
"""
