"""The commands of ``bench``, a small module each, and ``main``, which puts them together.

A command imports inside its function what loads torch, pandas or matplotlib, and the modules that need them, so that
``bench --help`` and shell completion take a tenth of a second. ``tests/unit/benchmarks/cli/test_cli.py`` checks it.
"""
