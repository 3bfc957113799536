"""Parts hidden, and random projections: the dynamics inside are the same."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.adapters import from_gymnax, masked, random_projection
from metarl_envs.bandit import bandit
from metarl_envs.goal_grid import goal_grid
from metarl_jax import ConfigurationError, TaskDistribution, check_task_distribution
from metarl_jax.tasks import binding
from metarl_jax.tasks.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

STEPS = 12


class Rich:
    """Parts of every kind, and a mask; the state is a walk."""

    def reset_env(self, key, task):
        return self._observed(jnp.zeros((2,), jnp.float32)), jnp.zeros((2,), jnp.float32)

    def step_env(self, key, state, action, task):
        move, push = action["move"].astype(jnp.float32), action["push"]
        state = state + 0.1 * jnp.stack([move[0] - 1, move[1]]) + push.sum() * task
        return self._observed(state), state, state.sum(), jnp.zeros((), bool), {}

    def _observed(self, state):
        return {"place": state, "cell": jnp.int32(state[0] > 0), "box": (jnp.tile(state, 2),)}

    def action_space(self, task):
        return Dict({"move": MultiDiscrete((3, 2)), "push": Box(-0.5, 1.5, (2,))})

    def observation_space(self, task):
        wide = lambda n: Box(-np.inf, np.inf, (n,))
        return Dict({"place": wide(2), "cell": Discrete(2), "box": Tuple((wide(4),))})


def rich(environment=None) -> TaskDistribution:
    return TaskDistribution(
        name="rich",
        environment=environment or Rich(),
        sample=lambda key: jax.random.normal(key, (), jnp.float32),
        describe=lambda task: task[None],
        episode_length=5,
        num_episodes=2,
        ends_early=False,
    )


def play(tasks, task, actions):
    """Observations, states and rewards of given actions in a policy's units."""

    def step(state, action):
        observation, state, reward, _ = binding.step(tasks, jax.random.key(0), state, action, task)
        return state, (observation, reward)

    _, state = binding.reset(tasks, jax.random.key(1), task)
    state, (observations, rewards) = jax.lax.scan(step, state, actions)
    return observations, rewards, state


def test_a_masked_environment_is_the_one_inside() -> None:
    inside = from_gymnax("CartPole-v1", vary={"gravity": (5, 15)})
    tasks = masked(inside, keep=(0, 2))
    check_task_distribution(tasks)
    task = inside.sample(jax.random.key(0))
    actions = jnp.arange(STEPS) % 2
    seen, rewards, state = play(tasks, task, actions)
    expected, own_rewards, own_state = play(inside, task, actions)
    np.testing.assert_array_equal(seen, expected[:, [0, 2]])
    np.testing.assert_array_equal(rewards, own_rewards)
    jax.tree.map(np.testing.assert_array_equal, state, own_state)


@pytest.mark.parametrize(
    ("keep", "shapes"),
    [
        (("place",), {"place": (2,)}),
        ({"place": (1,), "box": (0,)}, {"place": (1,), "box": ((4,),)}),
        ({"box": {0: (0, 3)}, "cell": None}, {"box": ((2,),), "cell": ()}),
    ],
)
def test_parts_of_a_dict_are_kept_by_name(keep, shapes) -> None:
    tasks = masked(rich(), keep)
    check_task_distribution(tasks)
    observation, _ = binding.reset(tasks, jax.random.key(0), jnp.float32(1))
    assert jax.tree.map(lambda x: x.shape, observation) == shapes


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        (("plaice",), "among \\['box', 'cell', 'place'\\], got \\['plaice'\\]"),
        ((), "at least one part"),
        ({"place": (2,)}, "indices below 2"),
        ({"place": ()}, "at least one part"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep, told) -> None:
    with pytest.raises(ConfigurationError, match=told):
        masked(rich(), keep)


def test_a_mask_of_actions_stays() -> None:
    class Masked(Rich):
        def action_mask(self, state, task):
            return {"move": jnp.array([True, False, True, True, True])}

    tasks = masked(rich(Masked()), ("place",))
    check_task_distribution(tasks)
    observation, _ = binding.reset(tasks, jax.random.key(0), jnp.float32(1))
    assert set(observation) == {"place", "action_mask"}
    with pytest.raises(ConfigurationError, match="without a mask"):
        random_projection(tasks)


def test_a_projection_sees_and_acts_through_its_maps() -> None:
    """Undoing both maps gives the environment inside."""
    inside = rich()
    tasks = random_projection(inside, observation_size=6)
    check_task_distribution(tasks)
    task = tasks.sample(jax.random.key(3))
    moves = np.stack([np.arange(STEPS) % 3, np.arange(STEPS) % 2], axis=1)
    push = jax.random.uniform(jax.random.key(5), (STEPS, 2), minval=-0.7, maxval=0.7)
    seen, rewards, _ = play(tasks, task, {"move": jnp.asarray(moves), "push": push})
    permuted = np.stack(
        [task.action["move"][moves[:, 0]], task.action["move"][3 + moves[:, 1]]], axis=1
    )
    turned = jnp.clip(push @ task.action["push"].T, -1, 1)
    expected, own, _ = play(inside, task.inner, {"move": jnp.asarray(permuted), "push": turned})
    np.testing.assert_allclose(rewards, own, rtol=1e-4, atol=1e-5)
    matrix = np.asarray(task.observation["place"])
    assert matrix.shape == (6, 2) and task.observation["cell"] is None
    np.testing.assert_allclose(
        np.asarray(seen["place"]) @ np.linalg.pinv(matrix).T, expected["place"], atol=1e-4
    )
    np.testing.assert_array_equal(seen["cell"], expected["cell"])
    np.testing.assert_allclose(task.action["push"] @ task.action["push"].T, np.eye(2), atol=1e-5)
    assert tasks.specification.context_size == 1 + 6 * 2 + 6 * 4 + 5 + 4


def test_a_projection_is_drawn_for_each_task() -> None:
    tasks = random_projection(from_gymnax("CartPole-v1"))
    drawn = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(0), 400))
    matrices = np.asarray(drawn.observation)
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(matrices.var(axis=0), 1 / 4, atol=0.08)
    assert 0.35 < np.mean(np.asarray(drawn.action)[:, 0] == 0) < 0.65


def test_a_projection_needs_a_vector() -> None:
    with pytest.raises(ConfigurationError, match="a vector of floats"):
        random_projection(from_gymnax("FrozenLake-misc"))


@pytest.mark.parametrize("make", [goal_grid, bandit])
def test_wrappers_keep_the_size_of_a_meta_episode(make) -> None:
    inside = make()
    tasks = random_projection(inside)
    assert tasks.max_steps == inside.max_steps and tasks.references() is not None
    assert dataclasses.replace(tasks, num_episodes=1).num_episodes == 1
