"""The chapter of the axis sample size."""
