"""The axis reconstruction: what a representation loses of a clip before any model is trained on it."""
