"""Judges: evaluators that did not learn from this suite's audio, so that their distances measure fidelity.

    get_evaluator("musicnn")        music; the weights are shipped
    get_evaluator("musicnn_msd")    the same network, trained on other music; `bench evaluators install musicnn_msd`
    get_evaluator("aisfx")          sound effects; `bench evaluators install aisfx`
    get_evaluator("logmel")         no network: statistics of the log-mel spectrogram, and levels of octave bands

``musicnn.py``, ``aisfx.py`` and ``logmel.py`` each hold a judge, ``mel.py`` their spectrograms, ``patches.py`` what the
two networks share. ``weights.py`` knows the published packages and reads installed weights, ``install.py`` fetches
them, ``tensorflow_bundle.py`` reads musicnn's checkpoints.
"""
