"""The chapter of the axis frame rate."""
