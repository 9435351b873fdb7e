"""The chapter of the axis fidelity."""
