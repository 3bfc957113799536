"""Task families that each break one law, which `metarl train FILE.py:NAME` refuses."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from metarl_jax import TaskDistribution


class Task(struct.PyTreeNode):
    side: jax.Array  # [] float32


class Line(environment.Environment):
    """The sound one: a step left or right pays on one side."""

    def reset_env(self, key, task):
        return jnp.zeros((1,), jnp.float32), jnp.zeros((), jnp.float32)

    def step_env(self, key, state, action, task):
        state = state + 2.0 * action - 1.0
        return state[None], state, state * task.side, jnp.zeros((), bool), {}

    def action_space(self, task):
        return spaces.Discrete(2)

    def observation_space(self, task):
        return spaces.Box(-9.0, 9.0, (1,))


def sample(key):
    return Task(jax.random.rademacher(key, (), jnp.float32))


def sound(*, episode_length: int = 3, num_episodes: int = 2) -> TaskDistribution:
    """A family that keeps the laws.

    Args:
        episode_length: steps in an episode.
        num_episodes: episodes in a meta-episode.
    """
    return TaskDistribution(
        name="line",
        environment=Line(),
        sample=sample,
        describe=lambda task: task.side[None],
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=False,
    )


def _with(environment_class: type) -> TaskDistribution:
    return dataclasses.replace(sound(), environment=environment_class())


def sampler_changes_dtype() -> TaskDistribution:
    calls = itertools.count()

    def changing(key):
        dtype = jnp.int32 if next(calls) else jnp.float32
        return Task(jnp.ones((), dtype))

    return dataclasses.replace(sound(), sample=changing)


def sampler_changes_shape() -> TaskDistribution:
    calls = itertools.count()
    return dataclasses.replace(
        sound(), sample=lambda key: Task(jnp.ones((1 + next(calls),), jnp.float32))
    )


def step_changes_structure() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, *rest = super().step_env(key, state, action, task)
            return observation, (state, state), *rest

    return _with(Broken)


def nan_at_once() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, reward, *rest = super().step_env(key, state, action, task)
            return observation, state, reward / 0.0 * 0.0, *rest

    return _with(Broken)


def nan_later() -> TaskDistribution:
    """Finite in the few episodes that are looked at before training; one in 128 is not."""

    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, reward, *rest = super().step_env(key, state, action, task)
            return observation, state, jnp.where(abs(state) > 7, jnp.nan, reward), *rest

    return dataclasses.replace(_with(Broken), episode_length=8)


def nan_observed_at_once() -> TaskDistribution:
    class Broken(Line):
        def reset_env(self, key, task):
            observation, state = super().reset_env(key, task)
            return observation * jnp.nan, state

    return _with(Broken)


def observation_out_of_its_space() -> TaskDistribution:
    class Broken(Line):
        def observation_space(self, task):
            return spaces.Box(-0.5, 0.5, (1,))

    return _with(Broken)


def ends_unannounced() -> TaskDistribution:
    """Terminates, where the distribution says that no episode ends early."""

    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, reward, _, info = super().step_env(key, state, action, task)
            return observation, state, reward, state == 2.0, info

    return _with(Broken)


def control_flow_on_arrays() -> TaskDistribution:
    class Broken(Line):
        def reset_env(self, key, task):
            return super().reset_env(key, task) if task.side > 0 else None

    return _with(Broken)


def untyped_argument(size=3) -> TaskDistribution:
    return sound(episode_length=size)


def observation_of_another_shape() -> TaskDistribution:
    class Broken(Line):
        def observation_space(self, task):
            return spaces.Box(-9.0, 9.0, (4,))

    return _with(Broken)


def unsupported_actions() -> TaskDistribution:
    class Broken(Line):
        def action_space(self, task):
            return "left or right"

    return _with(Broken)


def sampler_draws_with_numpy() -> TaskDistribution:
    side = lambda: float(np.random.default_rng().normal())
    return dataclasses.replace(sound(), sample=lambda key: Task(jnp.asarray(side(), jnp.float32)))


def step_counts_in_python() -> TaskDistribution:
    class Broken(Line):
        steps = 0

        def step_env(self, key, state, action, task):
            self.steps += 1
            return super().step_env(key, state, action, task)

    return _with(Broken)


def reset_remembers_in_python() -> TaskDistribution:
    class Broken(Line):
        def __init__(self):
            super().__init__()
            self.seen = []

        def reset_env(self, key, task):
            self.seen.append(task.side)
            return super().reset_env(key, task)

    return _with(Broken)


def step_changes_from_trace_to_trace() -> TaskDistribution:
    calls = itertools.count()

    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, reward, *rest = super().step_env(key, state, action, task)
            return observation, state, reward + next(calls), *rest

    return _with(Broken)


def callback_draws_with_numpy() -> TaskDistribution:
    generator = np.random.default_rng()
    noise = lambda reward: reward + generator.normal(size=reward.shape).astype(np.float32)

    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, reward, *rest = super().step_env(key, state, action, task)
            shape = jax.ShapeDtypeStruct((), jnp.float32)
            noisy = jax.pure_callback(noise, shape, reward, vmap_method="broadcast_all")
            return observation, state, noisy, *rest

    return _with(Broken)


def reward_is_a_whole_number() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, _, *rest = super().step_env(key, state, action, task)
            return observation, state, action, *rest

    return _with(Broken)


def reward_is_a_vector() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, reward, *rest = super().step_env(key, state, action, task)
            return observation, state, reward[None], *rest

    return _with(Broken)


def terminated_is_a_float() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            *most, terminated, info = super().step_env(key, state, action, task)
            return *most, terminated.astype(jnp.float32), info

    return _with(Broken)


def step_returns_four() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            return super().step_env(key, state, action, task)[:4]

    return _with(Broken)


def step_changes_the_states_dtype() -> TaskDistribution:
    class Broken(Line):
        def step_env(self, key, state, action, task):
            observation, state, *rest = super().step_env(key, state, action, task)
            return observation, state.astype(jnp.float16), *rest

    return _with(Broken)


def first_observation_is_whole_numbers() -> TaskDistribution:
    class Broken(Line):
        def reset_env(self, key, task):
            observation, state = super().reset_env(key, task)
            return observation.astype(jnp.int32), state

    return _with(Broken)
