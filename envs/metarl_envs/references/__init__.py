"""Exact values of the task families, where they can be computed; no policy takes part."""
