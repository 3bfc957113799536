"""The real command line, in a process of its own."""

import os
import pathlib
import subprocess
import sys

BROKEN = pathlib.Path(__file__).with_name("broken_families.py")
SMALL = ["--num-tasks", "4", "--hidden-size", "4", "--embedding-size", "4", "--total-steps", "96"]
SMALL += ["--num-evaluations", "2", "--evaluation-tasks", "4", "--final-evaluation-tasks", "8"]


def metarl(*arguments: str | pathlib.Path, cwd: pathlib.Path | None = None):
    command = [sys.executable, "-m", "metarl_experiments", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200", "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False
    )


def assert_refused(result: subprocess.CompletedProcess, *fragments: str) -> None:
    said = result.stderr + result.stdout
    assert result.returncode == 2, said
    assert "Traceback" not in said
    for fragment in fragments:
        assert fragment in said, said
    assert "compiling" not in said
