"""Exact values of the task families, computed on the host with numpy; no policy takes part."""
