"""What the command line refuses, and how: before anything is compiled, in one paragraph."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from metarl_experiments.commands.options import parse_train_options
from metarl_jax.experiment.registry import load_experiment
from support.command_line import BROKEN, assert_refused, metarl, metarl_here


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["trian"], ["'trian'", "did you mean train?"]),
        (["train"], ["got no name", "metarl list"]),
        (["train", "--seed", "1", "bandit_10_5"], ["the name before the options"]),
        (
            ["train", "no_such_family"],
            ["name of an experiment", "got 'no_such_family'", "metarl list"],
        ),
        (["train", "bandit_10_6"], ["'bandit_10_6'", "did you mean bandit_10_5"]),
        (["train", "cheeta_vel"], ["did you mean cheetah_vel"]),
        (["train", "zebra"], ["got 'zebra'", "metarl list"]),
        (["train", "no_such_file.py:family"], ["no file 'no_such_file.py'", "FILE.py:NAME"]),
        (["train", str(BROKEN)], ["without a name", f"{BROKEN}:sound", "metarl check"]),
        (["train", f"{BROKEN}:sond"], ["a name 'sond'", "did you mean sound?"]),
        (
            ["train", "bandit_10_5", "--num-task", "3"],
            ["options: --num-task,", "Perhaps you meant: --num-tasks INT"],
        ),
        (["train", "bandit_10_5", "--num-tasks", "-1"], ["num_tasks must be at least 1, got -1"]),
        (["train", "bandit_10_5", "--total-steps", "0"], ["total_steps must be at least 1, got 0"]),
        (
            ["train", "bandit_10_5", "--total-steps", "1.5"],
            ["parsing --total-steps", "got '1.5'"],
        ),
        (
            ["train", "bandit_10_5", "--meta-episode-steps", "-5"],
            ["meta_episode_steps must be", "got -5"],
        ),
        (
            ["train", "bandit_10_5", "--max-gradient-norm", "0"],
            ["max_gradient_norm must be", "got (0.0,)"],
        ),
        (
            ["train", "bandit_10_5", "--num-tasks", "many"],
            ["parsing --num-tasks", "whole number such as 300, 1_000_000 or 1e6", "'many'"],
        ),
        (
            ["train", "bandit_10_5", "--discount", "1.5"],
            ["discount must be", "between 0 and 1", "got (1.5,)"],
        ),
        (
            ["train", "bandit_10_5", "--algorithm.gae-lambda", "-0.1"],
            ["gae_lambda must be", "got (-0.1,)"],
        ),
        (
            ["train", "bandit_10_5", "--policy", "reactive"],
            ["'reactive' for argument '--policy'", "'memoryless'"],
        ),
        (
            ["train", "bandit_10_5", "--algorithm", "sac"],
            ["'sac' for argument '--algorithm'", "'reinforce'"],
        ),
        (
            ["train", "bandit_10_5", "--memory", "lstmm"],
            ["'lstmm' for argument '--memory'", "'gru'"],
        ),
        (["train", "bandit_10_5", "--family.num-arms", "0"], ["num_arms must be", "got 0"]),
        (
            [
                "train",
                "bandit_10_5",
                "--algorithm=ppo",
                "--num-tasks",
                "10",
                "--algorithm.minibatches",
                "4",
            ],
            ["4 minibatches, got 10 tasks", "8 tasks would"],
        ),
        (
            ["train", "bandit_10_5", "--algorithm.bptt-segments", "3"],
            ["bptt_segments must divide the 10 steps", "got 3"],
        ),
        (
            ["train", "bandit_10_5", "--num-tasks", "8", "--devices", "3"],
            ["3 devices, got 8 tasks", "9 tasks would"],
        ),
        (["train", "bandit_10_5", "--devices", "0"], ["devices must be at least 1, got 0"]),
        (
            ["train", "bandit_10_5", "--algorithm.epochs", "3"],
            [
                "options that algorithm a2c has, got --algorithm.epochs, an option of ppo",
                "leave it out",
            ],
        ),
        (
            ["train", "goal_grid_3", "--policy", "memoryless", "--memory=lstm"],
            ["--policy memoryless and --memory lstm", "leave one of the two out"],
        ),
        (["train", "bandit_10_5", "--seed", "-1"], ["seed must be", "got -1"]),
        (
            ["train", "goal_grid_3", "--family.episode-length", "0"],
            ["episode_length must be", "got 0"],
        ),
        (["train", "goal_grid_3", "--family.num-episodes", "0"], ["num_episodes must be", "got 0"]),
        (
            ["train", "cheetah_vel", "--family.engine", "bullet"],
            ["'bullet' for argument '--family.engine'", "'mjx'"],
        ),
        (
            ["train", "cheetah_vel", "--family.engine", "mjx", "--family.mjx-impl", "warp"],
            ["package warp, got none", "choose mjx_impl 'jax'"],
        ),
    ],
)
def test_bad_arguments_are_refused_before_compilation(
    arguments: list[str], fragments: list[str], tmp_path: pathlib.Path
) -> None:
    assert_refused(metarl_here(*arguments, cwd=tmp_path), *fragments)
    assert not list(tmp_path.iterdir()), "a refused run leaves nothing behind"


@pytest.mark.parametrize(
    ("family", "fragments"),
    [
        ("sampler_changes_dtype", ["sample(key)", "leaf side", "float32[]", "got int32[]"]),
        ("sampler_changes_shape", ["sample(key)", "leaf side", "float32[1]", "got float32[2]"]),
        (
            "step_changes_structure",
            ["step_env", "another structure", "expected", "['state'][1]"],
        ),
        ("nan_at_once", ["step_env", "reward that is not finite", "nan"]),
        ("nan_observed_at_once", ["reset_env", "observation that is not finite", "nan"]),
        (
            "observation_out_of_its_space",
            ["got one outside it from step_env", "[-0.5, 0.5]", "widen"],
        ),
        (
            "ends_unannounced",
            ["no episode to end before its 3 steps", "got one", "ends_early=True"],
        ),
        ("control_flow_on_arrays", ["reset_env(key, task)", "traceable by jax", "TracerBool"]),
        ("untyped_argument", ["must have a type and a default", "got size", "size: int = 5"]),
        (
            "observation_of_another_shape",
            ["reset_env", "observation", "[1]", "observation_space", "[4]"],
        ),
        ("unsupported_actions", ["action_space", "Discrete", "Box", "got 'left or right'"]),
        ("no_such_function", ["'no_such_function'", "metarl check"]),
        ("sampler_draws_with_numpy", ["sample(key)", "another computation the second time"]),
        (
            "step_counts_in_python",
            ["step_env", "changes self.steps", "Keep what changes"],
        ),
        ("reset_remembers_in_python", ["reset_env(key, task)", "changes self.seen"]),
        ("step_changes_from_trace_to_trace", ["step_env", "another computation"]),
        ("callback_draws_with_numpy", ["step_env", "another reward in a second run", "callback"]),
        ("step_returns_four", ["step_env must return", "as gymnax 1.x's does", "got 4 values"]),
        (
            "first_observation_is_whole_numbers",
            ["step_env", "['observation']", "int32[1]", "got float32[1]"],
        ),
    ],
)
def test_broken_families_are_refused(
    family: str, fragments: list[str], tmp_path: pathlib.Path
) -> None:
    assert_refused(metarl_here("check", f"{BROKEN}:{family}", cwd=tmp_path), *fragments)


def test_what_is_broken_is_not_trained(tmp_path: pathlib.Path) -> None:
    result = metarl_here("train", f"{BROKEN}:step_counts_in_python", cwd=tmp_path)
    assert_refused(result, "step_env", "changes self.steps")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            f"{BROKEN}:sound",
            "line keeps the laws: observations float32[1], actions Discrete(2), 2 episodes",
        ),
        (f"{BROKEN}:reward_is_a_whole_number", "cast: reward: int32 as float32"),
        (f"{BROKEN}:reward_is_a_vector", "cast: reward: float32[1] as float32"),
        (f"{BROKEN}:terminated_is_a_float", "cast: terminated: float32 as bool"),
        (f"{BROKEN}:step_changes_the_states_dtype", "cast: state: float16 of step_env as float32"),
        ("mouse_cheese", "3 episodes of at most"),
        ("cheetah_vel", "actions float32[6], 2 episodes of 200 steps"),
    ],
)
def test_sound_families_pass(name: str, told: str, tmp_path: pathlib.Path) -> None:
    result = metarl_here("check", name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert told in result.stdout


def test_a_process_that_is_refused_says_so_by_its_exit_code(tmp_path: pathlib.Path) -> None:
    assert_refused(metarl("train", f"{BROKEN}:unsupported_actions", cwd=tmp_path), "left or")


@pytest.mark.parametrize("name", ["goal_grid_3", "cheetah_vel", "mouse_both", "bandit_10_5"])
@pytest.mark.parametrize("memory", ["gru", "transformer"])
def test_help_is_short_and_shows_every_option(
    name: str, memory: str, tmp_path: pathlib.Path
) -> None:
    result = metarl_here("train", name, "--memory", memory, "--help", cwd=tmp_path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 90
    assert all(len(line) <= 116 for line in lines)
    shown = {line.split()[0].replace("[no-]", "") for line in lines if line.startswith("  --")}
    options = parse_train_options(load_experiment(name), ["--memory", memory])
    settings = options.settings
    for branch, prefix in (
        *((getattr(settings, b), "") for b in ("budget", "optimizer", "discounting", "evaluation")),
        *((getattr(settings, b), f"{b}.") for b in ("memory", "policy", "algorithm")),
        *((options.family, "family."), (options.output, ""), (options.machine, "")),
    ):
        fields = {f"--{prefix}{f.name}".replace("_", "-") for f in dataclasses.fields(branch)}
        assert fields <= shown
    common = "\n".join(lines[:20])
    for name in ("total-steps", "seed", "num-tasks", "learning-rate", "memory", "algorithm"):
        assert f"  --{name} " in common


WITHOUT_JAX = """
import sys
from metarl_experiments.cli import main
assert main(["--help"]) == main(["help"]) == main(["--version"]) == 0
assert main([]) == main(["trian"]) == 2
print(sorted(set(sys.modules) & {"jax", "flax", "optax", "metarl_jax"}))
"""
WITHOUT_ENVIRONMENTS = """
import sys
from metarl_experiments.cli import main
assert main(["list"]) == 0
heavy = {"gymnax", "mujoco", "matplotlib", "scipy", "orbax", "metarl_envs"}
print(sorted(set(sys.modules) & heavy))
"""


@pytest.mark.parametrize("program", [WITHOUT_JAX, WITHOUT_ENVIRONMENTS])
def test_nothing_is_imported_that_an_answer_does_not_need(program: str) -> None:
    """A usage, a misspelt command and a list of presets are there at once."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
