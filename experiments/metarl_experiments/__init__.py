"""The composition root: presets, the command line, benchmarks and reproductions."""
