"""The axis samplesize: how the number of clips changes each metric."""
