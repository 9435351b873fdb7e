"""A module that cannot be imported, for tests of what is said then."""

WRONG = 1 / 0
