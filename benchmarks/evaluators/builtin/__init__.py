"""The built-in evaluator: a small listener that this project trains itself, so that judging needs no download.

``frontend.py`` turns audio into a pitch-class view and a log-mel view, ``network.py`` hears attributes in them and maps
captions into the same space, ``words.py`` reads captions, ``evaluator.py`` is the judge made of it, ``examples.py``,
``transposition.py``, ``lessons.py`` and ``training.py`` make one from a corpus and a codec, and ``provider.py`` finds
the right one for a corpus.

Its scores carry the suffix ``_builtin``: they compare arms on one corpus, never with published numbers.
"""
