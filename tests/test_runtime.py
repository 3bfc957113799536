"""What is settled before jax starts."""

import platform
import subprocess
import sys

import pytest

from metarl_experiments.runtime import asked_devices


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["train", "bandit_10_5", "--devices", "3", "--seed", "7"], 3),
        (["train", "bandit_10_5", "--seed=7", "--devices=2"], 2),
        (["train", "bandit_10_5", "--seed", "7"], None),
        (["train", "bandit_10_5", "--devices"], None),
        (["train", "bandit_10_5", "--devices", "many"], None),
        (["train", "bandit_10_5", "--devices", "0"], None),
        (["train", "bandit_10_5", "--devices", "-1"], None),
    ],
)
def test_devices_are_read_before_the_rest(arguments: list[str], asked: int | None) -> None:
    """What is no number is left to the parser, which refuses it."""
    assert asked_devices(arguments) == asked


PAGE_FAULTS = """
import resource, statistics, sys
from metarl_jax.machine import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
import jax, jax.numpy as jnp
# The sequence is needed whole, for the product of its first and last.
squares = jax.jit(lambda x: (lambda ys: jnp.vdot(ys, ys[::-1]))(
    jax.lax.scan(lambda x, _: (jnp.sin(x), x), x, None, 100)[1]))
x = jnp.ones(100_000)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    squares(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median(faults() for _ in range(21)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_kept_memory_is_not_asked_for_again() -> None:
    """A call of a program of 40 MB meets 10,000 new pages at least, or as good as none."""
    faults = {
        how: float(subprocess.check_output([sys.executable, "-c", PAGE_FAULTS, how], text=True))
        for how in ("given back", "kept")
    }
    assert faults["given back"] > 9_000
    assert faults["kept"] < 100
