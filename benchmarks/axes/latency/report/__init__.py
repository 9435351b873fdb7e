"""Tables, figures and the page of a study of latency."""
