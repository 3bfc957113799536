"""Every test runs on the CPU, under jax's strict flags, whatever the machine has.

The variables are set before jax starts, and reach the processes that a test starts; the flags are
those of this process alone. `JAX_PLATFORMS=cuda make test` runs the tests on a GPU.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
