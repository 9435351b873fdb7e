"""Codecs and autoencoders: waveform <-> latents <-> codes, and their training."""
