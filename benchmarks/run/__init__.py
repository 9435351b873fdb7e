"""Running cells: processes, reuse of records, estimates, verification."""
