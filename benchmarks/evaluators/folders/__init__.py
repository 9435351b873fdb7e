"""Scores of any two folders of audio: ``files`` finds and reads, ``outputs`` evaluates, ``score`` pairs and scores.

Nothing is written into the folders. Outputs are cached by content and evaluator.
"""
