"""A process whose environment is odd runs all the same, or says in words what is wrong with it."""

import codecs
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_experiments.process.streams import say_what_can_be_said
from support.command_line import SMALL, assert_refused, metarl

NOBODY = """
import os, pwd, sys

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown
os.environ.pop("HOME", None)
from metarl_experiments.cli import main
sys.exit(main())
"""
"""`metarl` for a user whom the system does not know: a container's, for instance."""
ODD = {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline.of_another_place",
    "MPLCONFIGDIR": "/dev/null/settings",
    "TMPDIR": "/nowhere",
    "XDG_CACHE_HOME": "/dev/null/cache",
    "JAX_COMPILATION_CACHE_DIR": "/dev/null/compiled",
    "COLUMNS": "many",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # or the process would start itself anew
}


def test_an_odd_environment_keeps_no_run_from_its_report(tmp_path: Path) -> None:
    """No home, no cache, no temporary folder of that name, no UTF-8, no standard input."""
    command = [sys.executable, "-c", NOBODY, "train", "bandit_10_5", *SMALL, "--out", "run-ü"]
    result = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *command],
        cwd=tmp_path,
        env=os.environ | ODD | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    assert b"10 x 1 = " in result.stdout and b" +- " in result.stdout
    assert {"report.html", "evaluation.json"} <= {p.name for p in (tmp_path / "run-ü").iterdir()}
    assert "±" in (tmp_path / "run-ü" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["doctor", "train"])
def test_a_device_that_is_not_there_is_said_to_be_missing(command: str, tmp_path: Path) -> None:
    arguments = ["bandit_10_5", *SMALL] if command == "train" else []
    result = metarl(command, *arguments, cwd=tmp_path, JAX_PLATFORMS="cuda", MPLBACKEND="nonsense")
    assert_refused(result, "a device", "JAX_PLATFORMS=cuda", "EXTRAS=cuda", "unset")
    assert ("optax" in result.stdout) == (command == "doctor")


def test_a_setting_that_jax_cannot_read_is_named(tmp_path: Path) -> None:
    result = metarl("list", cwd=tmp_path, JAX_ENABLE_X64="perhaps")
    assert_refused(result, "'perhaps'", "JAX_ENABLE_X64")


def written(encoding: str, text: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What a stream of an encoding gets of a text."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say_what_can_be_said()
    print(text, end="", flush=True)
    return stream.detach().getvalue()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "3 ± 1 × 2 …, 猫".encode() + b" caf\xe9"),
        ("latin-1", b"3 \xb1 1 \xd7 2 ..., ? caf\xe9"),
        ("ascii", b"3 +- 1 x 2 ..., ? caf\xe9"),
    ],
)
def test_a_stream_says_what_it_can(
    encoding: str, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "3 ± 1 × 2 …, 猫 " + os.fsdecode(b"caf\xe9")
    assert written(encoding, text, monkeypatch) == expected


def test_only_what_is_written_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read stays an error."""
    written("ascii", "", monkeypatch)
    with pytest.raises(UnicodeDecodeError):
        codecs.decode(b"\xff", "ascii", "spelled-out")
