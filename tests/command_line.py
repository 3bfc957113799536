"""The real command line, in a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

BROKEN = pathlib.Path(__file__).with_name("broken_families.py")
SMALL = ["--num-tasks", "4", "--hidden-size", "4", "--embedding-size", "4", "--total-steps", "96"]
SMALL += ["--num-evaluations", "2", "--evaluation-tasks", "4", "--final-evaluation-tasks", "8"]


ENVIRONMENT = os.environ | {"COLUMNS": "200", "JAX_PLATFORMS": "cpu"}
PROCESS = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


def metarl(*arguments: str | pathlib.Path, cwd: pathlib.Path | None = None, **environment: str):
    environment = ENVIRONMENT | environment
    return subprocess.run(
        _command(arguments), cwd=cwd, env=environment, timeout=120, check=False, **PROCESS
    )


def signalled(run: pathlib.Path, number: signal.Signals, *arguments: str | pathlib.Path):
    """Starts the command line, and sends it a signal when it has written its next row."""
    rows = run / "metrics.jsonl"
    size = rows.stat().st_size if rows.exists() else 0
    with subprocess.Popen(_command(arguments), env=ENVIRONMENT, **PROCESS) as process:
        while process.poll() is None and (not rows.exists() or rows.stat().st_size <= size):
            time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _command(arguments: tuple[str | pathlib.Path, ...]) -> list[str]:
    return [sys.executable, "-m", "metarl_experiments", *map(str, arguments)]


def assert_refused(result: subprocess.CompletedProcess, *fragments: str) -> None:
    said = result.stderr + result.stdout
    assert result.returncode == 2, said
    assert "Traceback" not in said
    for fragment in fragments:
        assert fragment in said, said
    assert "compiling" not in said
