"""The search for settings of a study's arms, with the same number of trials for each.

``design.py`` draws the trials, ``trials.py`` makes cells of them, ``search.py`` measures them and chooses.
"""
