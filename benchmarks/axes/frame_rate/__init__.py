"""The axis frame_rate: the frame rate of the latents against the length of the sequence."""
