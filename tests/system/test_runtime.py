"""What is settled before jax starts."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_experiments.process.early_flags import read_early_flags
from metarl_experiments.process.runtime import use_huge_pages
from metarl_jax import ExitCode


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
    assert read_early_flags(arguments, {}).devices == asked


WITHOUT_JAX = """
import sys
from metarl_experiments.cli import main
code = main(sys.argv[1:])
assert "jax" not in sys.modules
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], ExitCode.FINISHED), ([], ExitCode.BAD_INPUT), (["trian"], ExitCode.BAD_INPUT)],
)
def test_help_and_a_misspelt_command_import_no_jax(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-c", WITHOUT_JAX, *arguments]
    assert subprocess.run(command, capture_output=True).returncode == code


PAGE_FAULTS = """
import resource, statistics, sys
from metarl_experiments.process.runtime import use_huge_pages
if sys.argv[1] == "huge":
    use_huge_pages()
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


def huge_pages_are_to_be_had() -> bool:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return (
        platform.libc_ver()[0] == "glibc"
        and setting.exists()
        and "[madvise]" in setting.read_text()
    )


@pytest.mark.skipif(not huge_pages_are_to_be_had(), reason="no huge pages on demand here")
def test_memory_comes_in_huge_pages() -> None:
    """A call of a program of 40 MB meets 10,000 new pages at least, or the few that are huge."""
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PAGE_FAULTS]
    faults = {
        pages: float(subprocess.check_output([*command, pages], env=environment, text=True))
        for pages in ("small", "huge")
    }
    assert faults["small"] > 9_000
    assert faults["huge"] < 1_000


def test_what_is_set_already_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the process would start again and again."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    use_huge_pages()
