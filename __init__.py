"""paradigm-bench: a controlled comparison of generative paradigms for text-to-music and text-to-audio.

The folders of the repository are the subpackages: ``from paradigm_bench.paradigms import fm``.
"""
