"""Four papers again: their tables, figures and claims, with the published number and ours side by side.

``published`` reads what the papers state (``results/published``); ``sheets`` declares in YAML, one file per paper,
which of our records answer which row; ``chosen`` finds those records; ``filling`` puts both into cells, ``pages`` and
``plots`` show them. ``claims.yaml`` says how each claim is tested, ``contrasts`` tests, ``ledger`` tells.
"""
