"""The built-in evaluator: a small network that this project trains, so that scoring needs no download.

``frontend.py`` computes a pitch-class view and a log-mel view of audio. ``network.py`` predicts attributes from them
and maps captions into the same space. ``evaluator.py`` is the evaluator with its checkpoints. ``examples.py`` and
``training.py`` train one on a corpus and a codec, and find the right one for a corpus.

Its scores carry the suffix ``_builtin``. They compare systems on one corpus, never with published numbers.
"""
