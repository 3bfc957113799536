"""Task distributions as gymnasium's environments."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from metarl_envs.adapters.gymnasium_env import GymnasiumEnv, GymnasiumVectorEnv
from metarl_envs.goal_grid import goal_grid
from metarl_envs.tabular_mdp import tabular_mdp
from metarl_jax import ConfigurationError
from support.probes import counter, revealed_target

FAMILIES = (
    goal_grid(),
    counter(ends_early=True),
    revealed_target(episode_length=3),
    tabular_mdp(num_states=3, num_actions=2),
)


@pytest.mark.parametrize("tasks", FAMILIES, ids=lambda tasks: tasks.name)
def test_gymnasium_finds_nothing_wrong(tasks) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(GymnasiumEnv(tasks), skip_render_check=True)


def goal_of(env) -> int:
    return int(env._state.task.goal)


def test_tasks_change_where_asked_and_nowhere_else() -> None:
    env = GymnasiumEnv(goal_grid(size=9))
    env.reset(seed=0)
    first = goal_of(env)
    assert [env.reset() and goal_of(env) for _ in range(3)] == [first] * 3
    drawn = [env.reset(options={"new_task": True}) and goal_of(env) for _ in range(8)]
    assert len(set(drawn)) > 4
    env.reset(seed=0)
    assert goal_of(env) == first
    assert [env.reset(options={"new_task": True}) and goal_of(env) for _ in range(8)] == drawn
    unseeded = [GymnasiumEnv(goal_grid(size=9)) for _ in range(8)]
    assert len({env.reset() and goal_of(env) for env in unseeded}) > 4


def test_episodes_are_those_of_the_family() -> None:
    env = GymnasiumEnv(counter(ends_early=True))
    observation, _ = env.reset(seed=0)
    identity = observation[0]
    outcomes = [env.step(0) for _ in range(3)]
    assert [outcome[1] for outcome in outcomes] == [identity + step / 8 for step in (1, 2, 3)]
    assert [outcome[2:4] for outcome in outcomes] == [(False, False)] * 2 + [(False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    again, _ = env.reset()
    assert again[0] == identity and again[1] != observation[1]  # another mark: another episode
    assert env.step(1)[2:4] == (True, False)


def test_a_loop_that_knows_no_tasks_gets_new_ones() -> None:
    env = GymnasiumEnv(goal_grid(size=9, episode_length=1), episodes_per_task=2)
    goals = []
    for _ in range(20):
        env.reset(seed=None if goals else 0)
        goals.append(goal_of(env))
        env.step(0)
    assert goals[::2] == goals[1::2] and len(set(goals)) > 5


def test_a_vector_resets_in_the_same_step() -> None:
    envs = GymnasiumVectorEnv(counter(ends_early=True), 4)
    first, _ = envs.reset(seed=3)
    assert len(np.unique(first[:, 0])) > 1
    observations, rewards, terminated, truncated, infos = envs.step(np.array([1, 0, 1, 0]))
    assert terminated.tolist() == [True, False, True, False] and not truncated.any()
    np.testing.assert_array_equal(rewards, first[:, 0] + 1 / 8)
    np.testing.assert_array_equal(infos["_final_obs"], terminated)
    np.testing.assert_array_equal(infos["final_obs"][:, 2], 1)
    np.testing.assert_array_equal(observations[:, 2], 1 - terminated)
    assert envs.step(np.zeros(4, int))[4] == {}
    *_, truncated, infos = envs.step(np.zeros(4, int))
    assert truncated.tolist() == [False, True, False, True]
    again, _ = envs.reset(seed=3)
    np.testing.assert_array_equal(again, first)
    same, _ = envs.reset()
    np.testing.assert_array_equal(same[:, 0], first[:, 0])
    other, _ = envs.reset(options={"new_task": True})
    assert (other[:, 0] != first[:, 0]).any()


def test_a_vector_gives_new_tasks_after_so_many_episodes() -> None:
    envs = GymnasiumVectorEnv(counter(episode_length=1), 64, episodes_per_task=2)
    identities = [envs.reset(seed=0)[0][:, 0]]
    identities += [envs.step(np.zeros(64, int))[0][:, 0] for _ in range(3)]
    np.testing.assert_array_equal(identities[0], identities[1])
    assert (identities[1] != identities[2]).mean() > 0.5
    np.testing.assert_array_equal(identities[2], identities[3])


def test_gymnasiums_wrappers_take_the_vector() -> None:
    envs = RecordEpisodeStatistics(GymnasiumVectorEnv(goal_grid(), 3))
    assert envs.observation_space.shape == (3, 9) and envs.action_space.shape == (3,)
    envs.reset(seed=0)
    for _ in range(6):
        *_, infos = envs.step(envs.action_space.sample())
    assert infos["episode"]["l"].tolist() == [6] * 3


def test_what_cannot_be_is_refused() -> None:
    tasks = goal_grid()
    with pytest.raises(ConfigurationError, match="new_task"):
        GymnasiumEnv(tasks).reset(options={"new_tasks": True})
    with pytest.raises(ConfigurationError, match="num_envs"):
        GymnasiumVectorEnv(tasks, 0)
    with pytest.raises(ConfigurationError, match="episodes_per_task"):
        GymnasiumEnv(tasks, episodes_per_task=0)
    for env in (GymnasiumEnv(tasks), GymnasiumVectorEnv(tasks, 1)):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(0)
