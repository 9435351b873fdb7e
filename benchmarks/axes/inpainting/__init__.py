"""The axis inpainting: filling a span of a real clip."""
