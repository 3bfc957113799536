"""A run that is loaded acts as it was evaluated, in any loop, and needs its folder alone."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from metarl_envs.adapters.gymnasium_env import GymnasiumVectorEnv
from metarl_envs.goal_grid import goal_grid
from metarl_jax import Agent, ConfigurationError, evaluate, save
from metarl_jax.checkpoint.checkpoint import CheckpointError
from metarl_jax.experiment.build import Setup, build_setup
from metarl_jax.experiment.policy_file import PolicyRecord, write_policy_record
from metarl_jax.experiment.run_config import load_config
from metarl_jax.tasks.interface import interface_of, write_interface
from metarl_jax.trees import take
from support.command_line import ENVIRONMENT, SMALL
from support.numpy_goal_grid import NumpyGoalGrid
from support.run_folders import preset_run

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "acting.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
ENVS = 2_000
BRIEF = ["--total-steps", "400000", "--memory.hidden-size", "32", "--learning-rate", "1e-2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> pathlib.Path:
    """A folder in which runs/goal_grid_3 is a run that has learned something."""
    place = tmp_path_factory.mktemp("place")
    setup = begin_run(place / "runs" / "goal_grid_3", *BRIEF)
    update = lambda state: jax.lax.fori_loop(
        0, setup.plan.num_updates, lambda _, s: setup.algorithm.update(s)[0], state
    )
    state = jax.jit(update)(setup.algorithm.init(setup.key, setup.plan.num_updates))
    save(place / "runs" / "goal_grid_3" / "checkpoints", setup.plan.num_updates, state, {})
    params, key = state.learner.params, jax.random.key(7)
    evaluation = evaluate(setup.tasks, setup.policy, params, key, 2 * ENVS)
    np.save(place / "returns.npy", evaluation.episode_returns)
    return place


def begin_run(folder: pathlib.Path, *options: str) -> Setup:
    """Makes a run's folder as `metarl train` does."""
    preset_run(folder, "goal_grid_3", options)
    setup = build_setup(goal_grid(), load_config(folder).settings, 1)
    write_interface(folder, interface_of(goal_grid()))
    write_policy_record(folder, PolicyRecord.of(setup.policy, setup.algorithm, setup.key))
    return setup


@pytest.fixture(scope="module")
def run(place) -> pathlib.Path:
    return place / "runs" / "goal_grid_3"


@pytest.fixture(scope="module")
def evaluated(place) -> np.ndarray:
    """[N, E] returns, as the evaluator says."""
    return np.load(place / "returns.npy")


def assert_as_evaluated(returns: np.ndarray, evaluated: np.ndarray) -> None:
    """[N, E] returns have the means of the evaluation, within four standard errors."""
    error = lambda x: x.std(axis=0) / len(x) ** 0.5
    within = 4 * np.hypot(error(returns), error(evaluated))
    assert within.max() < 0.5
    np.testing.assert_array_less(np.abs(returns.mean(axis=0) - evaluated.mean(axis=0)), within)
    assert evaluated[:, -1].mean() > evaluated[:, 0].mean() + 0.5, "nothing was learned"


def test_in_its_own_family_it_earns_what_the_evaluator_says(run, evaluated) -> None:
    agent, envs = Agent.load(run), GymnasiumVectorEnv(goal_grid(), ENVS)
    agent.reset(batch=ENVS, autoreset=envs.metadata["autoreset_mode"])
    actions, rewards = agent.act(envs.reset(seed=0)[0]), []
    for _ in range(agent.interface.max_steps):
        observations, reward, *ends, infos = envs.step(actions)
        actions = agent.act(observations, reward, *ends, infos.get("final_obs"))
        rewards.append(reward)
    assert_as_evaluated(np.sum(np.reshape(rewards, (4, 6, ENVS)), axis=1).T, evaluated)


def test_in_a_copy_of_its_environment_by_hand_too(run, evaluated) -> None:
    agent, env = Agent.load(run), NumpyGoalGrid(ENVS, seed=1)
    agent.reset(batch=ENVS, seed=1)
    actions, returns = agent.act(env.reset()), np.zeros((ENVS, 4))
    for episode in range(4):
        ended = np.zeros(ENVS, bool)
        while not ended.any():
            final, reward, terminated, ended, _ = env.step(actions)
            first = env.reset() if ended.any() else final
            actions = agent.act(first, reward, terminated, ended, final)
            returns[:, episode] += reward
    assert_as_evaluated(returns, evaluated)


def test_the_page_acts_in_eight_lines(place, evaluated) -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line]
    assert len(lines) <= 8
    with contextlib.chdir(place):
        names: dict = {}
        exec(BLOCKS[0] + BLOCKS[1], names)
    assert names["action"] is None
    expected = evaluated.sum(axis=1).mean()
    assert abs(names["total"].mean() - expected) < 5 * names["total"].std() / 10


def test_acting_is_quick(run) -> None:
    """In processor time, and as tests compile: `make bench` says what it takes."""
    agent, observation = Agent.load(run), np.zeros(9, np.float32)
    agent.act(observation)
    seconds = []
    for _ in range(20):
        begin = time.process_time()
        for _ in range(50):
            agent.act(observation, 0.0, False, False)
        seconds.append((time.process_time() - begin) / 50)
    assert min(seconds) < 1e-3


# The program of another process, in which everything but jax, and what it imports, is missing.
ALONE = """
import sys
for name in ("metarl_jax", "metarl_envs", "metarl_experiments", "flax", "orbax", "gymnax"):
    sys.modules[name] = None
import json
{block}
steps, actions = json.load(sys.stdin), []
for observation, reward, terminated, truncated, final in steps:
    state, action = act(state, np.array(observation, np.float32), np.array(reward, np.float32),
        np.array(terminated), np.array(truncated), np.array(final, np.float32))
    actions.append(np.asarray(action).tolist())
print(json.dumps(actions))
"""


def program(code: str, place: pathlib.Path, given: str = "") -> str:
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command,
        cwd=place,
        env=ENVIRONMENT,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def two_episodes(batch: int | None) -> list[list]:
    """What the loop tells in each step, made up: the second episode begins at step 6."""
    rng, leading = np.random.default_rng(0), () if batch is None else (batch,)
    seen = rng.normal(size=(12, *leading, 9)).round(3)
    ends = [np.full(leading, time == 6).tolist() for time in range(12)]
    no = np.zeros(leading, bool).tolist()
    rewards = rng.normal(size=(12, *leading)).round(3).tolist()
    final = np.where(np.reshape(ends, (12, *leading, 1)), -seen, seen)
    return list(zip(seen.tolist(), rewards, [no] * 12, ends, final.tolist(), strict=True))


def test_the_exported_file_runs_with_jax_alone(run, tmp_path) -> None:
    agent = Agent.load(run, greedy=True)
    agent.export(tmp_path / "agent.zip")
    steps = two_episodes(None)
    actions = json.loads(program(ALONE.format(block=BLOCKS[2]), tmp_path, json.dumps(steps)))
    expected = [agent.act(steps[0][0])] + [agent.act(*step) for step in steps[1:]]
    np.testing.assert_array_equal(actions, expected)
    assert len(set(map(str, actions))) > 1


def test_the_exported_file_samples_as_the_agent_does(run, tmp_path) -> None:
    agent = Agent.load(run)
    for name in ("one.zip", "two.zip"):
        agent.export(tmp_path / name, batch=100)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    names: dict = {}
    with contextlib.chdir(tmp_path):
        (tmp_path / "one.zip").rename("agent.zip")
        exec(BLOCKS[2], names)
    state = names["reset"](np.uint32(5))
    agent.reset(100, seed=5)
    for number, step in enumerate(two_episodes(100)):
        told = [np.array(x) for x in step]
        told = [x.astype(np.float32) if x.dtype == float else x for x in told]
        state, actions = names["act"](state, *told)
        np.testing.assert_array_equal(actions, agent.act(*(step if number else step[:1])))
        assert len(np.unique(actions)) > 1


def test_loading_needs_the_folder_alone(run, tmp_path) -> None:
    missing = ("metarl_envs", "metarl_experiments", "mujoco", "gymnax", "gymnasium")
    code = f"""
import sys
sys.modules |= dict.fromkeys({missing}, None)
from metarl_jax import Agent
agent = Agent.load({os.fspath(run)!r})
print(agent.act([0.0] * 9), agent.interface.family, agent.update)
"""
    action, family, update = program(code, tmp_path).split()
    assert int(action) in range(5) and family == "goal_grid" and int(update) > 0


@pytest.fixture
def begun(tmp_path):
    """Makes a run's folder with the train states of two updates, untrained."""

    def make(*options: str) -> tuple[pathlib.Path, object]:
        folder = tmp_path / "run"
        setup = begin_run(folder, *SMALL, *options)
        state = setup.algorithm.init(setup.key, setup.plan.num_updates)
        changed = state.replace(learner=jax.tree.map(lambda x: 2 * x, state.learner))
        save(folder / "checkpoints", 1, state, {})
        save(folder / "checkpoints", 2, changed, {})
        return folder, state

    return make


def assert_equal(agent: Agent, params: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, agent.params, params)


def test_the_newest_checkpoint_or_the_one_asked_for(begun) -> None:
    folder, state = begun()
    assert_equal(Agent.load(folder, step=1), state.learner.params)
    newest = Agent.load(folder)
    assert newest.update == 2
    assert_equal(newest, jax.tree.map(lambda x: 2 * x, state.learner.params))
    with pytest.raises(CheckpointError, match="3"):
        Agent.load(folder, step=3)


def test_any_member_of_a_population(begun) -> None:
    folder, state = begun("--num-seeds", "2")
    for member in range(2):
        agent = Agent.load(folder, step=1, member=member)
        assert_equal(agent, take(state.learner.params, member))
        assert agent.act(np.zeros(9)) in range(5)
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        Agent.load(folder, member=2)


def test_a_damaged_weight_is_passed_over_with_a_warning(begun) -> None:
    """It is the digest that tells: here the manifest says what the values are not."""
    folder, state = begun()
    (folder / "checkpoints" / "2").rename(folder / "2")
    (folder / "checkpoints" / "1" / "state").rename(folder / "state")
    (folder / "2" / "state").rename(folder / "checkpoints" / "1" / "state")
    with pytest.raises(CheckpointError, match=r"learner\.params.* do not match"):
        Agent.load(folder, step=1)
    (folder / "2").rename(folder / "checkpoints" / "0")
    (folder / "state").rename(folder / "checkpoints" / "0" / "state")
    with pytest.raises(CheckpointError, match="none that can be used"):
        Agent.load(folder)


def test_other_settings_are_no_match(begun) -> None:
    folder, _ = begun()
    place = folder / "policy.json"
    place.write_text(place.read_text().replace('"hidden_size": 4', '"hidden_size": 5'))
    with pytest.raises(CheckpointError, match=r"learner\.params\.weights.*expected float32"):
        Agent.load(folder)


def test_a_run_of_an_older_version_gets_its_interface_when_it_is_resumed(begun) -> None:
    folder, _ = begun()
    for name in ("policy.json", "interface.json"):
        (folder / name).unlink()
        with pytest.raises(ConfigurationError, match=rf"{name}.*metarl train --resume"):
            Agent.load(folder)


def test_a_folder_that_is_no_run(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=r"interface\.json"):
        Agent.load(tmp_path)
