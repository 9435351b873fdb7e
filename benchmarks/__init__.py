"""The referee: what is measured (axes), in which studies, by which metrics, in which records, told by which report."""
