"""What can be measured: one folder per axis; ``eval_set`` and ``scoring`` serve several.

A folder holds the axis itself (``axis.py``), its section of a study (``settings.py``), what makes and measures cells,
and its chapter of the reports (``report/``). ``benchmarks.study.axis`` has the interface of an axis and their registry.
"""
