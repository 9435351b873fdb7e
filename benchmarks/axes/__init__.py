"""What can be measured: one folder per axis. ``benchmarks.study.axis`` has their interface and registry."""
