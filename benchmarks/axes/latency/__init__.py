"""The axis latency: how fast a paradigm generates, and how close that is to what the hardware allows."""
