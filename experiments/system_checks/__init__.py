"""Checks with real processes: `make soak`, `make pod-smoke`, and what they measure with."""
