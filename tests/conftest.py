"""Every test runs on the CPU, under jax's strict flags, whatever the machine has.

The variables are set before jax starts, and reach the processes that a test starts; the flags are
those of this process alone. `JAX_PLATFORMS=cuda,cpu make test` runs the tests on a GPU, but those
that are of a CPU.
"""

import os
import signal
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# Tests compile much and run little: what LLVM's passes and the fusion emitters take is more than
# they save, four fifths of the time of a compilation. Each worker compiles on one core.
FAST_TO_COMPILE = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("XLA_FLAGS", " ".join(FAST_TO_COMPILE))
# Shared by the workers and kept between runs: the second run of the tests takes half the time.
_cache = Path(__file__).resolve().parents[1] / ".cache" / "compiled"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

# A shell starts what it runs in the background with SIGINT ignored, and every process after it
# inherits that: the tests of SIGINT begin from what a terminal gives.
signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)  # a test that asks for no more than one gets one
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A random walk's run from beginning to end: its folder and its outcome."""
    from support import random_walk  # after the flags above

    folder = tmp_path_factory.mktemp("run") / "undisturbed"
    return folder, random_walk.run(folder)


@pytest.fixture
def hangup():
    """SIGHUP is heard, as in a terminal: under nohup it is ignored by all that a test starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def cpu():
    """What is tried is a CPU's own: C's physics, products in float32 alone, buffers to the byte."""
    if jax.default_backend() != "cpu":
        pytest.skip("of a CPU")


@pytest.fixture
def accelerator(monkeypatch):
    """Programs can be traced, and lowered, for a machine that is not there."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
