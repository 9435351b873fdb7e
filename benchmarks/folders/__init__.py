"""The judge for any two folders of audio: ``files`` finds and reads, ``hearing`` listens, ``score`` pairs and scores.

Nothing is ever written into the folders; what was heard is kept in the cache under content and evaluator.
"""
