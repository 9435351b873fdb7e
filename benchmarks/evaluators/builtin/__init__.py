"""The built-in attribute tagger: a small network that this project trains, so that scoring needs no download.

``frontend.py`` computes a pitch-class view and a log-mel view of audio. ``network.py`` predicts attributes from them
and maps captions into the same space. ``evaluator.py`` is the evaluator with its checkpoints. ``examples.py`` and
``training.py`` train one on a corpus and a codec, and find the right one for a corpus.

It names what captions ask for, and so decides adherence and the similarity of clip and caption. Its scores carry the
suffix ``_builtin`` and compare systems on one corpus, never with published numbers. Its distances (``fad_builtin``,
``kad_builtin`` and so on) are recorded, but they are no measure of fidelity: it is trained with noise and with a
codec's reconstructions, and hardly notices either. Judges (``evaluators/judges``) measure fidelity.
"""
