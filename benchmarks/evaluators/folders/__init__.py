"""The judge for any two folders of audio: ``files`` finds and reads, ``hearing`` listens, ``score`` pairs and scores.

Nothing is ever written into the folders; results are cached by content and evaluator.
"""
