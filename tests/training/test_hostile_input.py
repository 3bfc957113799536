"""Folders, names and files that somebody means harm with: a run is data, and never code."""

import json
import os
import pathlib
import pickle
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from metarl_experiments.process.runtime import COMMAND
from metarl_experiments.runs import create_run
from metarl_jax.checkpoint.folder import steps
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.experiment.settings import Settings
from metarl_jax.training.metrics_file import read_rows
from support.command_line import SMALL, assert_refused, metarl_here

Attack = Callable[[pathlib.Path], object]
READ = ("config.json", "run.json", "metrics.jsonl", "interface.json", "policy.json")
"""What an evaluation, or an agent, reads of a run besides its checkpoints."""
EVIL = "import pathlib; pathlib.Path({!r}).touch()\ndef tasks(): ...\n"


class Bomb:
    """A pickle that, read, leaves a file behind."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return pathlib.Path.touch, (self.place,)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of a few updates, with all its files."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    result = metarl_here("train", "bandit_10_5", *SMALL, "--out", folder, cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def run(whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of it, to be spoilt."""
    return pathlib.Path(shutil.copytree(whole, tmp_path / "run"))


def exploded(run: pathlib.Path) -> pathlib.Path:
    """What a bomb leaves behind."""
    return run.parent / "exploded"


def edit(name: str, value: object, within: str = "settings") -> Attack:
    """Writes a value into a run's configuration, within a branch such as `settings.memory`."""

    def attack(run: pathlib.Path) -> None:
        place = run / "config.json"
        config = branch = json.loads(place.read_text())
        for part in within.split(".") if within else ():
            branch = branch[part]
        branch[name] = value
        place.write_text(json.dumps(config))

    return attack


def write(name: str, content: str | bytes) -> Attack:
    """Puts a file in a run's place of it."""
    data = content.encode() if isinstance(content, str) else content
    return lambda run: (run / name).write_bytes(data)


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    return [] if depth == 0 else [nested(depth - 1)]


def link_config(run: pathlib.Path) -> None:
    place = run / "config.json"
    place.rename(run.parent / "secret")
    place.symlink_to(run.parent / "secret")


def pipe_config(run: pathlib.Path) -> None:
    """Whoever reads it waits for ever."""
    (run / "config.json").unlink()
    os.mkfifo(run / "config.json")


def bring_code(run: pathlib.Path) -> None:
    (run / "evil.py").write_text(EVIL.format(str(exploded(run))))
    edit("experiment", f"{run / 'evil.py'}:tasks", within="")(run)


def bring_code_by_a_detour(run: pathlib.Path) -> None:
    (run / "evil.py").write_text(EVIL.format(str(exploded(run))))
    edit("experiment", f"{run.parent}/elsewhere/../run/evil.py:tasks", within="")(run)
    (run.parent / "elsewhere").mkdir()


def bring_code_by_a_relative_path(run: pathlib.Path) -> None:
    (run.parent / "evil.py").write_text(EVIL.format(str(exploded(run))))
    edit("experiment", "evil.py:tasks", within="")(run)


def bring_nameless_code(run: pathlib.Path) -> None:
    (run / ".py").write_text(EVIL.format(str(exploded(run))))
    edit("experiment", f"{run}/.py:tasks", within="")(run)


def call_a_stranger(run: pathlib.Path) -> None:
    """The command line itself, whose arguments have types and defaults."""
    edit("experiment", "metarl_experiments.cli:main", within="")(run)
    edit("family", {"arguments": ["check", f"{run}/evil.py:tasks"]}, within="")(run)


def pickled_state(run: pathlib.Path) -> None:
    for place in (run / "checkpoints").rglob("*"):
        if place.is_file():
            place.write_bytes(pickle.dumps(Bomb(exploded(run))))


def linked_checkpoints(run: pathlib.Path) -> None:
    for step in steps(run / "checkpoints"):
        place = run / "checkpoints" / str(step)
        place.rename(run.parent / f"elsewhere-{step}")
        place.symlink_to(run.parent / f"elsewhere-{step}")


MEMORY, POLICY, BUDGET, DISCOUNTING = (
    f"settings.{branch}" for branch in ("memory", "policy", "budget", "discounting")
)
REFUSED_RUNS: dict[str, tuple[Attack, str]] = {
    "config.json is a link": (link_config, "a plain file"),
    "config.json is a pipe": (pipe_config, "a plain file"),
    "config.json of eleven megabytes": (write("config.json", " " * 11_000_000), "more than"),
    "config.json a million brackets deep": (write("config.json", "[" * 900_000), "config.json"),
    "config.json no text": (write("config.json", bytes(range(256))), "config.json"),
    "config.json a list": (write("config.json", "[1, 2]"), "no JSON object"),
    "an unknown field": (edit("hiden_size", 5), "unknown ['hiden_size']"),
    "an unknown field of a branch": (edit("hiden_size", 5, MEMORY), "unknown ['hiden_size']"),
    "a size past all machines": (
        edit("hidden_size", 10**12, MEMORY),
        "hidden_size must be at most",
    ),
    "an embedding past all machines": (
        edit("embedding_size", 10**7, POLICY),
        "embedding_size must be at most",
    ),
    "a head past all machines": (edit("head_sizes", [10**7], POLICY), "head_sizes must be at most"),
    "a size past all numbers": (edit("num_tasks", 10**400, BUDGET), "num_tasks must be at most"),
    "a size that is a text": (
        edit("num_tasks", "8; rm -rf /", BUDGET),
        "num_tasks must be a whole number",
    ),
    "a size that is a truth": (edit("num_tasks", True, BUDGET), "num_tasks must be a whole number"),
    "a million layers": (edit("num_layers", 10**6, MEMORY), "num_layers must be at most 1000"),
    "a schedule of not-a-number": (
        edit("learning_rate", [float("nan")], "settings.optimizer"),
        "learning_rate must be finite",
    ),
    "a schedule of a hundred thousand knots": (
        edit("discount", [0.9] * 100_000, DISCOUNTING),
        "discount must be at most 1,000 numbers",
    ),
    "more agents than there are numbers": (edit("num_seeds", 2**40, BUDGET), "num_seeds must be"),
    "a memory that nobody knows": (edit("name", "elephant", MEMORY), "memory must be one of"),
    "a memory whose name is a list": (edit("name", ["gru"], MEMORY), "values as `metarl train`"),
    "a branch that is a list": (edit("memory", [1, 2]), "values as `metarl train`"),
    "a policy without its memory": (edit("memory", None), "expected a memory with every policy"),
    "a format that is a text": (edit("format", "2", ""), "of format 2, got '2'"),
    "more agents than memory": (
        edit("sweep", {"learning_rate": [0.1] * 1001, "discount": [0.9] * 1000}, within=""),
        "at most 10,000 agents",
    ),
    "a family's size past all machines": (
        edit("num_arms", 10**12, "family"),
        "a task of at most 1,073,741,824 bytes, got 4,000,000,000,000",
    ),
    "a family's argument six hundred brackets deep": (
        edit("num_arms", nested(600), "family"),
        "num_arms must be a whole number",
    ),
    "a family's argument that is none": (edit("__class__", "os.system", "family"), "bandit_10_5"),
    "code in the run's folder": (bring_code, "a file of yours"),
    "code in the run's folder, by ..": (bring_code_by_a_detour, "a file of yours"),
    "code beside the run": (bring_code_by_a_relative_path, "a file of yours"),
    "a file that is called .py": (bring_nameless_code, "a file of yours"),
    "a function that is no family": (call_a_stranger, "must say that it returns"),
    "a schedule past all numbers": (
        edit("discount", [10**400], DISCOUNTING),
        "discount must be finite",
    ),
    "an experiment that is no preset": (edit("experiment", "os:system", ""), "os:system"),
    "checkpoints that are pickles": (pickled_state, "none that can be used"),
    "checkpoints that are links": (linked_checkpoints, "none that can be used"),
}


@pytest.mark.parametrize("name", REFUSED_RUNS)
def test_a_hostile_run_is_refused(name: str, run: pathlib.Path) -> None:
    attack, told = REFUSED_RUNS[name]
    attack(run)
    assert_refused(metarl_here("evaluate", run, "--tasks", "4", cwd=run.parent), told)
    assert not exploded(run).exists()


def test_nothing_is_written_through_a_link(run: pathlib.Path) -> None:
    """Whoever evaluates somebody else's run must not find a file of his own overwritten."""
    mine = run.parent / "mine"
    mine.write_text("mine")
    written = [path for path in run.iterdir() if path.is_file() and path.name not in READ]
    assert {"evaluation.json", "evaluation.npz", "report.html", "learning.png"} <= {
        path.name for path in written
    }
    for path in written:
        path.unlink()
        path.symlink_to(mine)
        path.with_name(f"{path.name}.{os.getpid()}.tmp").symlink_to(mine)
    result = metarl_here("evaluate", run, cwd=run.parent)
    assert result.returncode == 0, result.stderr
    assert mine.read_text() == "mine"
    assert not any(path.is_symlink() for path in written)


def test_rows_that_are_none_are_left_out(run: pathlib.Path) -> None:
    rows = run / "metrics.jsonl"
    good = read_rows(rows)
    bad = ["[1]", '{"update": 1, "seconds": "x"}', '{"update": "x"}', "[" * 100_000, "\0", '{"up']
    bad += [f'{{"update": 1, "loss": {x}}}' for x in ('"x"', "1e999", f"1{'0' * 400}", "{}")]
    bad += ['{"update": 1, "env_steps": [1]}', '{"update": 1, "x": ' + "[" * 600 + "]" * 600 + "}"]
    rows.write_text("\n".join(bad) + "\n" + rows.read_text() + "\n".join(bad))
    assert read_rows(rows) == good
    with rows.open("ab") as file:
        file.write(bytes(range(128, 256)))
    assert read_rows(rows) == good


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints"])
def test_training_goes_on_through_no_link(name: str, run: pathlib.Path) -> None:
    """What it points to would be written, renamed and deleted."""
    mine = (run / name).rename(run.parent / "mine")
    (run / name).symlink_to(mine)
    before = sorted(mine.rglob("*")) or mine.read_bytes()
    assert_refused(metarl_here("train", "--resume", run, cwd=run.parent), "the run's own")
    assert before == (sorted(mine.rglob("*")) or mine.read_bytes())


def test_a_run_is_begun_through_no_link(tmp_path: pathlib.Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").symlink_to(mine)
    config = RunConfig("bandit_10_5", {}, Settings())
    create_run(tmp_path / "run", config, [])
    assert mine.read_text() == "mine"
    assert not (tmp_path / "run" / "run.json").is_symlink()


def test_no_module_is_taken_from_the_folder_it_is_called_in(tmp_path: pathlib.Path) -> None:
    """Which may be the run of somebody else."""
    for module in ("difflib", "jax", "tyro"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(9)")
    assert subprocess.run([*COMMAND, "nonsense"], cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd:x", "bandit_10_5/../..", "[red]", "\x1b[2J", "a\0b"],
)
def test_a_hostile_name_is_refused(name: str, tmp_path: pathlib.Path) -> None:
    assert_refused(metarl_here("train", name, cwd=tmp_path), "expected")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["a\0b", "x" * 300, "/proc/self/none", "dangling", "file"])
def test_a_hostile_place_is_refused(out: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    (tmp_path / "file").write_text("mine")
    train = ("train", "bandit_10_5", *SMALL, "--out", out)
    for more in ([], ["--or-resume"]):
        assert_refused(metarl_here(*train, *more, cwd=tmp_path), "expected a folder")
    assert (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2
