"""Scripts that run in environments of their own; each also runs by hand, with the packages it declares."""
