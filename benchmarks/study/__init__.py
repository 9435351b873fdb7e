"""Studies, their cells, and the interface of an axis."""
