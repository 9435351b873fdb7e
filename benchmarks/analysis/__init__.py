"""Analysis of records: which compare, statistics, collection. It knows nothing of presentation."""
