"""What a study will take before anything of it is run: GPU hours, memory, storage, with every assumption.

``devices`` says how fast a device is believed to be, ``sizes`` what has to be held in memory and on disk, ``plan`` goes
through a study. No data, no weights and no GPU are needed: models are built without memory for their weights, and
count their own operations (``Paradigm.training_cost``, ``Paradigm.cost``).
"""
