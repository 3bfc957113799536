"""Several runs in one process that has used jax already, as in a notebook."""

import pathlib
import subprocess
import sys

from support.command_line import ENVIRONMENT, SMALL

TWICE = f"""
import asyncio
import jax
jax.numpy.zeros(3).sum().block_until_ready()
from metarl_experiments import cli

async def cell():
    begin = ["train", "goal_grid_3", *{SMALL!r}, "--out"]
    print([cli.main([*begin, name]) for name in ("first", "second")])
    print(cli.main(["evaluate", "first"]))

asyncio.run(cell())
"""


def test_the_command_line_runs_again_and_after_jax_was_used(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", TWICE]
    told = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert "[0, 0]" in told.stdout and told.stdout.strip().endswith("0")
