"""Measurement: studies, axes, metrics, records, analysis and reports."""
