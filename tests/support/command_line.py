"""The real command line: in a process of its own, or in this one."""

import contextlib
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from metarl_experiments import cli
from metarl_experiments.process.distributed import DistributedOptions
from metarl_jax.training.metrics_file import MetricsFile

BROKEN = pathlib.Path(__file__).with_name("broken_families.py")
SMALL = [
    "--num-tasks",
    "4",
    "--memory.hidden-size",
    "4",
    "--policy.embedding-size",
    "4",
    "--total-steps",
    "96",
]
SMALL += ["--num-evaluations", "2", "--evaluation-tasks", "4", "--final-evaluation-tasks", "8"]

LONGEST_MESSAGE = 600

ENVIRONMENT = os.environ | {"COLUMNS": "200", "JAX_PLATFORMS": "cpu"}
PROCESS = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


def metarl(*arguments: str | pathlib.Path, cwd: pathlib.Path | None = None, **environment: str):
    environment = ENVIRONMENT | environment
    return subprocess.run(
        _command(arguments), cwd=cwd, env=environment, timeout=300, check=False, **PROCESS
    )


def metarl_here(
    *arguments: str | pathlib.Path,
    cwd: pathlib.Path,
    join: Callable[[DistributedOptions], None] = lambda options: None,
) -> subprocess.CompletedProcess[str]:
    """The same command line in this process, whose jax is configured already: seconds less."""
    # With an encoding: without one, rich draws its boxes otherwise.
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        mock.patch("metarl_experiments.cli.configure_jax"),
        mock.patch("metarl_experiments.process.distributed.join", join),
    ):
        try:
            code: Any = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code
    said = []
    for stream in (stdout, stderr):
        stream.flush()
        # As bytes: what may stand in for a character is a matter of writing.
        said.append(stream.detach().getvalue().decode("utf-8", "surrogateescape"))
    return subprocess.CompletedProcess(arguments, code, *said)


def signalled_here(
    number: signal.Signals, *arguments: str | pathlib.Path, cwd: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    """The command line in this process, which is sent a signal as it writes its next row."""
    append, sent = MetricsFile.append, []

    def append_and_signal(rows: MetricsFile, row: Any) -> Any:
        result = append(rows, row)
        if not sent:
            sent.append(number)
            signal.raise_signal(number)
        return result

    with mock.patch.object(MetricsFile, "append", append_and_signal):
        return metarl_here(*arguments, cwd=cwd)


def signalled(
    run: pathlib.Path,
    number: signal.Signals,
    *arguments: str | pathlib.Path,
    **environment: str,
):
    """Starts the command line, and sends it a signal when it has written its next row."""
    rows = run / "metrics.jsonl"
    size = rows.stat().st_size if rows.exists() else 0
    environment = ENVIRONMENT | environment
    with subprocess.Popen(_command(arguments), env=environment, **PROCESS) as process:
        while process.poll() is None and (not rows.exists() or rows.stat().st_size <= size):
            time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _command(arguments: tuple[str | pathlib.Path, ...]) -> list[str]:
    return [sys.executable, "-m", "metarl_experiments", *map(str, arguments)]


def assert_refused(result: subprocess.CompletedProcess, *fragments: str) -> None:
    """Refused with exit code 2 before anything is compiled, and in words that help.

    The fragments are looked for in what was said, joined to one line.
    """
    said = result.stderr + result.stdout
    assert result.returncode == 2, said
    assert "Traceback" not in said
    assert_well_put(_our_words(result.stderr))
    in_one_line = _in_one_line(said)
    for fragment in fragments:
        assert fragment in in_one_line, said
    assert "compiling" not in said


def assert_well_put(message: str | None) -> None:
    """One paragraph, which names what was expected, or must be, and what was got."""
    if message is not None:
        message = message.strip()
        assert len(message) <= LONGEST_MESSAGE, message
        assert "\n\n" not in message, message
        assert re.search(r"\b(expected|must)\b", message, re.IGNORECASE), message
        assert re.search(r"\bgot\b", message), message


def _our_words(stderr: str) -> str | None:
    """What `metarl` itself says: after its name, or in the box of the parser of flags.

    None where all that is said is the parser's own: of a flag it does not know, or of a value that
    is not of the flag's type.
    """
    if ours := re.search(r"^metarl: .*", stderr, re.MULTILINE | re.DOTALL):
        return ours.group()
    assert re.search(r"^╭─ .* ─+╮$", stderr, re.MULTILINE), stderr
    quoted = re.search(r"Error parsing (?!--)\w+: (.*?) ─", _in_one_line(stderr))
    return quoted and quoted.group(1)


def _in_one_line(text: str) -> str:
    return re.sub(r"[\s│]+", " ", text)
