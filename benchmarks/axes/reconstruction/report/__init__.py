"""The page of a study of reconstruction."""
