"""What is shipped and how it is set up: the wheel, the lock files, the Makefile."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.registry import GROUP
from support.house_rules import ROOT, SHIPPED

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")
JOBS = ("setup", "train", "evaluate", "test", "check", "bench", "reproduce", "doctor", "clean")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built from the checkout."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: `make setup` installs it")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_holds_the_three_packages_whole_and_nothing_else(wheel):
    expected = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in SHIPPED.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == expected
    assert {f"{name}/py.typed" for name in SHIPPED} <= shipped


def test_wheel_declares_the_command_and_the_license(wheel):
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "metarl = metarl_experiments.cli:main" in wheel.read(entry_points).decode()
    metadata = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_every_entry_point_is_an_experiment_of_that_name():
    entries = PYPROJECT["project"]["entry-points"][GROUP]
    assert entries
    for name, value in entries.items():
        experiment = EntryPoint(name, value, GROUP).load()
        assert isinstance(experiment, Experiment)
        assert experiment.name == name


def locked(name: str) -> dict[str, set[str]]:
    """Package names of a lock file and their versions: one, or one for each range of Pythons."""
    versions: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line)
        if match:
            versions.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return versions


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_names_versions_and_hashes_only(name):
    line = re.compile(
        r"[a-z0-9-]+==[\w.]+( ; (python_full_version|sys_platform|platform_\w+)[^/]*)? \\"
        r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
    )
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert lines
    assert [text for text in lines if not line.fullmatch(text)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_satisfies_the_declared_dependencies(name):
    groups = PYPROJECT["dependency-groups"]
    texts = PYPROJECT["project"]["dependencies"] + groups["build"]
    if name == "requirements-dev.lock":
        texts = texts + [text for text in groups["dev"] if isinstance(text, str)]
    versions = locked(name)
    for requirement in map(Requirement, texts):
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found, f"{name} lacks {requirement}: run `make lock`"
        wrong = [version for version in found if not requirement.specifier.contains(version)]
        assert not wrong, f"{name} has {requirement.name} {wrong}, not {requirement}: `make lock`"


def test_the_two_locks_agree():
    run, dev = (locked(name) for name in LOCKS)
    assert {name: dev.get(name) for name in run} == run


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs make as a person would, and not as a part of the make that runs the tests."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_lists_its_jobs():
    listed = set(re.findall(r"^  make (\w+) ", make().stdout, re.MULTILINE))
    assert set(JOBS) <= listed


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["train"], ".venv/bin/metarl train cheetah_vel"),
        (
            ["train", "ENV=goal_grid_3", "OUT=runs/mine", "ARGS=--seed 1"],
            ".venv/bin/metarl train goal_grid_3 --out runs/mine --seed 1",
        ),
        (["evaluate", "RUN=runs/mine"], ".venv/bin/metarl evaluate runs/mine"),
        (["doctor"], ".venv/bin/metarl doctor"),
        (["reproduce", "WHAT=rl2"], ".venv/bin/python -m metarl_experiments.reproduce rl2"),
    ],
)
def test_make_runs_the_command(arguments, command):
    lines = make("--dry-run", *arguments).stdout.splitlines()
    assert lines[-1].rstrip() == command


def test_make_takes_no_variable_from_the_environment(monkeypatch):
    monkeypatch.setenv("ENV", "/etc/profile")
    monkeypatch.setenv("ARGS", "--unwanted")
    last = make("--dry-run", "train").stdout.splitlines()[-1]
    assert last.rstrip() == ".venv/bin/metarl train cheetah_vel"


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with what a set-up reads, and a Python that says that it is 3.9."""
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    return tmp_path


def test_make_refuses_an_old_python(checkout):
    result = make("setup", "PYTHON=./python3.9", folder=checkout)
    assert result.returncode == 2
    assert "expects Python 3.11 or later; './python3.9' is Python 3.9.2" in result.stderr
    assert "make setup PYTHON=" in result.stderr
    assert not (checkout / ".venv").exists()


def test_make_waits_for_no_one_and_disturbs_no_set_up(checkout):
    (checkout / ".venv").mkdir()
    unfinished = checkout / ".venv" / ".unfinished"
    unfinished.write_text(str(os.getpid()))
    result = make("setup", f"PYTHON={sys.executable}", folder=checkout)
    assert result.returncode == 2
    assert f"Another make (process {os.getpid()}) is setting up .venv" in result.stderr
    assert unfinished.exists()


def test_make_clean_keeps_what_a_person_made(checkout):
    kept = ["runs/mine/metrics.jsonl", "notes.txt", ".venv/bin/python", "metarl_jax/a.py"]
    deleted = ["metarl_jax/__pycache__/a.pyc", ".pytest_cache/x", ".ruff_cache/x"]
    for name in kept + deleted:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    make("clean", folder=checkout)
    assert [name for name in kept + deleted if (checkout / name).exists()] == kept
