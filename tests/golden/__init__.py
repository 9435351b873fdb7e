"""Numbers that other people's packages gave once, each with the recipe of its input."""
