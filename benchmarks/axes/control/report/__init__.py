"""The chapter of the axis control."""
