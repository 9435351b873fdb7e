"""The chapter of the axis inpainting."""
