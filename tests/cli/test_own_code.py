"""A package of one file: its family, memory, loss and optimizer, from training to the report."""

import json
import pathlib
import shutil

import pytest

from metarl_jax import Agent, ConfigurationError
from metarl_jax.experiment.run_config import load_config
from metarl_jax.training.metrics_file import read_rows
from support.command_line import SMALL, assert_refused, metarl_here
from support.comparisons import assert_same
from support.run_folders import rows_of

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "corridor.py"
OWN = [
    *("--memory", "corridor.py:min_gru", "--objective", "corridor.py:objective"),
    *("--optimizer", "corridor.py:lion", "--hyperparameter", "prediction_weight=0.5,0.0"),
]
TINY = [x for x in SMALL if x not in ("--policy.embedding-size",)]

BACKWARDS = """
import jax
from corridor import min_gru
from metarl_jax import Memory

def memory(hidden_size: int = 4) -> Memory:
    sound = min_gru(hidden_size=hidden_size)

    def unroll(weights, carry, xs):
        return jax.lax.scan(lambda c, x: sound.step(weights, c, x), carry, xs, reverse=True)

    return sound._replace(unroll=unroll)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the file lies and the commands are given; "run" is a run of 8 updates."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(EXAMPLE, folder)
    begin = ["train", "corridor.py:corridor", *OWN, *SMALL, "--total-steps", "864"]
    result = metarl_here(*begin, "--out", "run", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_run_knows_its_parts_from_any_folder(
    home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    settings = load_config(home / "run").settings
    place = str(home / "corridor.py")
    assert settings.memory.name == f"{place}:min_gru" and settings.memory.hidden_size == 4
    assert settings.objective.name == f"{place}:objective"
    assert settings.optimizer.name == f"{place}:lion"
    assert settings.own_hyperparameters == {"prediction_weight": (0.5, 0.0)}
    for command in ("evaluate", "report"):
        result = metarl_here(command, home / "run", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert "min_gru" in (home / "run" / "report.html").read_text()


def test_its_loss_is_logged(home: pathlib.Path) -> None:
    rows = read_rows(home / "run" / "metrics.jsonl")
    assert all(row.metrics["reward_prediction"] > 0 for row in rows)


def test_it_resumes_to_the_bit_and_goes_on_for_longer(home: pathlib.Path) -> None:
    """One extended afterwards has the rows of one that was as long from the beginning."""
    shutil.copytree(home / "run", home / "longer")
    result = metarl_here("train", "--resume", "longer", "--total-steps", "1296", cwd=home)
    assert result.returncode == 0, result.stderr
    budget = load_config(home / "longer").settings.budget
    assert (budget.total_steps, budget.schedule_steps) == (1296, 864)
    whole = ["train", "corridor.py:corridor", *OWN, *SMALL, "--total-steps", "1296"]
    result = metarl_here(*whole, "--schedule-steps", "864", "--out", "whole", cwd=home)
    assert result.returncode == 0, result.stderr
    assert rows_of(home / "longer") == rows_of(home / "whole")
    assert len(rows_of(home / "longer")) > len(rows_of(home / "run"))


def test_a_sweep_is_over_its_own_weight_too(home: pathlib.Path) -> None:
    """In one program; each agent has its value from the first update to the last."""
    parts = OWN[: OWN.index("--hyperparameter")]
    begin = ["sweep", "corridor.py:corridor", *parts, *SMALL]
    over = ["--over", "prediction_weight=0.1,1"]
    result = metarl_here(*begin, *over, "--out", "swept", cwd=home)
    assert result.returncode == 0, result.stderr
    points = json.loads((home / "swept" / "evaluation.json").read_text())["points"]
    assert [point["values"] for point in points] == [
        {"prediction_weight": 0.1},
        {"prediction_weight": 1.0},
    ]
    both = metarl_here(*begin, *over, *OWN[-2:], "--out", "both", cwd=home)
    assert_refused(both, "prediction_weight", "got both")


def test_fewer_steps_than_before_are_refused(home: pathlib.Path) -> None:
    result = metarl_here("train", "--resume", "run", "--total-steps", "96", cwd=home)
    assert_refused(result, "--total-steps", "864")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--memory", "corridor.py:min_grus"], "did you mean min_gru?"),
        (["--memory", "corridors.py:min_gru"], "check the path"),
        (["--memory", "corridor.py:objective"], "-> Memory"),
        (["--optimizer", "corridor.py:Corridor"], "optax"),
        (["--hyperparameter", "prediction_weight"], "NAME=VALUE"),
        (["--hyperparameter", "discount=0.9"], "under other names than ours"),
        (["--objective", "corridor.py:objective"], "--hyperparameter prediction_weight="),
        ([*OWN, "--hyperparameter", "prediction_wieght=1"], "did you mean prediction_weight?"),
        ([*OWN, *OWN[-2:]], "prediction_weight more often"),
    ],
)
def test_what_is_off_is_refused_by_name(flags: list[str], told: str, home: pathlib.Path) -> None:
    begin = ["train", "corridor.py:corridor", *SMALL, "--out", "refused"]
    assert_refused(metarl_here(*begin, *flags, cwd=home), told)


def test_its_memory_is_checked(home: pathlib.Path) -> None:
    result = metarl_here("check", "corridor.py:min_gru", cwd=home)
    assert result.returncode == 0, result.stderr
    assert "no output depends on a later input" in " ".join(result.stdout.split())


def test_a_memory_that_unrolls_backwards_is_refused_before_training(home: pathlib.Path) -> None:
    (home / "backwards.py").write_text(BACKWARDS)
    assert_refused(metarl_here("check", "backwards.py:memory", cwd=home), "into the future")
    begin = ["train", "corridor.py:corridor", *SMALL, "--out", "backwards"]
    result = metarl_here(*begin, "--memory", "backwards.py:memory", cwd=home)
    assert_refused(result, "into the future")
    assert not (home / "backwards").exists()


def test_code_in_the_runs_folder_is_not_run(home: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Somebody else's run can be looked at without running what lies in it."""
    run = tmp_path / "theirs"
    shutil.copytree(home / "run", run)
    shutil.copy(EXAMPLE, run / "evil.py")
    config = json.loads((run / "config.json").read_text())
    config["settings"]["memory"]["name"] = f"{run / 'evil.py'}:min_gru"
    (run / "config.json").write_text(json.dumps(config))
    assert_refused(metarl_here("evaluate", run, cwd=tmp_path), "no code is taken from a run")


# A warm start.


def test_a_run_begins_with_the_weights_of_another(home: pathlib.Path) -> None:
    """With a learning rate of 0 it keeps them; the settings say where they came from."""
    begin = ["train", "corridor.py:corridor", *OWN, *SMALL, "--learning-rate", "0"]
    result = metarl_here(*begin, "--init-from", "run", "--out", "warm", cwd=home)
    assert result.returncode == 0, result.stderr
    assert load_config(home / "warm").init_from == str(home / "run")
    assert json.loads((home / "warm" / "run.json").read_text())["init_from_update"] == 8
    weights = [Agent.load(home / name).params.weights for name in ("run", "warm")]
    assert_same(*weights)


def test_a_run_that_goes_on_needs_its_source_no_more(home: pathlib.Path) -> None:
    shutil.copytree(home / "run", home / "source")
    begin = ["train", "corridor.py:corridor", *OWN, *SMALL, "--out", "after", "--or-resume"]
    begin += ["--init-from", "source"]
    assert metarl_here(*begin, cwd=home).returncode == 0
    shutil.rmtree(home / "source")
    result = metarl_here(*begin, cwd=home)
    assert result.returncode == 0, result.stderr


def test_weights_of_other_sizes_are_refused_before_a_folder_is_made(home: pathlib.Path) -> None:
    begin = ["train", "corridor.py:corridor", *OWN, *SMALL, "--memory.hidden-size", "5"]
    result = metarl_here(*begin, "--init-from", "run", "--out", "larger", cwd=home)
    assert_refused(result, "weights['", "of the same sizes")
    result = metarl_here(*begin, "--init-from", "nowhere", "--out", "larger", cwd=home)
    assert_refused(result, "policy.json", "nowhere")
    assert not (home / "larger").exists()


def test_a_run_names_no_function_that_is_no_memory(
    home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """A policy.json of somebody else's may name anything that is installed: it is not called."""
    run = tmp_path / "theirs"
    shutil.copytree(home / "run", run)
    record = json.loads((run / "policy.json").read_text())
    record["memory"] = ["os:mkdir", {"path": str(tmp_path / "made")}]
    (run / "policy.json").write_text(json.dumps(record))
    with pytest.raises(ConfigurationError, match="-> Memory"):
        Agent.load(run)
    assert not (tmp_path / "made").exists()


def test_code_inside_the_new_folder_is_refused_at_once(home: pathlib.Path) -> None:
    (home / "inside").mkdir()
    shutil.copy(EXAMPLE, home / "inside" / "mine.py")
    begin = ["train", "corridor.py:corridor", *SMALL, "--memory", "inside/mine.py:min_gru"]
    assert_refused(metarl_here(*begin, "--out", "inside", cwd=home), "no code is taken from a run")
    assert not (home / "inside" / "config.json").exists()
