"""Harlow's task: of two new objects one pays, always the same; one look is enough to know which.

In each trial the agent first looks at a cross in the middle; then the objects appear, one on each
side, on either by chance; and it chooses one.

Reference:
    Harlow (1949), "The Formation of Learning Sets"; as in Wang et al. (2018), "Prefrontal cortex as
    a meta-reinforcement learning system": six trials, 0.2 for the cross, 1 and -1 for the objects.
    Theirs are pictures on a screen. Here an object is a vector of numbers, looking left, right or
    ahead an action, and that both, like the size of the vector and the steps of a trial, is ours.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs.agents.base import Agent, as_policy, best_of
from metarl_jax.checks import check_whole_number
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.types import Array, Experience, Key, PyTree

LEFT, RIGHT, AHEAD = 0, 1, 2
CROSS_REWARD, RIGHT_REWARD, WRONG_REWARD = 0.2, 1.0, -1.0


class HarlowTask(struct.PyTreeNode):
    """Two objects, and with them which one pays."""

    paying: Array  # [D] float32, within [-1, 1]
    other: Array  # [D] float32, within [-1, 1]


class HarlowState(struct.PyTreeNode):
    """How far the trial is, and where the objects are."""

    objects_shown: Array  # [] bool
    paying_side: Array  # [] int32, LEFT or RIGHT; LEFT before they are shown


class Harlow(environment.Environment[Any, Any]):
    """Looking at the cross pays 0.2 and brings the objects; choosing one pays 1 or -1, and ends it.

    What is done at any other time changes nothing and pays nothing. The observation is whether the
    cross is there, the object on the left and the object on the right; zeros where there are none.
    """

    def __init__(self, object_size: int) -> None:
        self.object_size = object_size

    def reset_env(self, key: Key, task: HarlowTask) -> tuple[Array, HarlowState]:
        """Returns (observation [1 + 2D] float32, state): the cross; draws nothing."""
        del key
        state = HarlowState(jnp.zeros((), bool), jnp.int32(LEFT))
        return _observe(state, task), state

    def step_env(
        self, key: Key, state: HarlowState, action: Array, task: HarlowTask
    ) -> tuple[Array, HarlowState, Array, Array, dict[str, Array]]:
        """Looks at the cross, or chooses."""
        at_cross = ~state.objects_shown & (action == AHEAD)
        chooses = state.objects_shown & (action != AHEAD)
        choice = jnp.where(action == state.paying_side, RIGHT_REWARD, WRONG_REWARD)
        reward = jnp.where(at_cross, CROSS_REWARD, jnp.where(chooses, choice, 0.0))
        side = jax.random.bernoulli(key).astype(jnp.int32)
        state = HarlowState(
            objects_shown=state.objects_shown | at_cross,
            paying_side=jnp.where(at_cross, side, state.paying_side),
        )
        return _observe(state, task), state, reward.astype(jnp.float32), chooses, {}

    def action_space(self, task: HarlowTask) -> spaces.Discrete:
        """Left, right, ahead."""
        del task
        return spaces.Discrete(3)

    def observation_space(self, task: HarlowTask) -> spaces.Box:
        """The cross, and two objects."""
        del task
        return spaces.Box(-1.0, 1.0, (1 + 2 * self.object_size,), jnp.float32)


def _observe(state: HarlowState, task: HarlowTask) -> Array:
    on_left = state.paying_side == LEFT
    left = jnp.where(on_left, task.paying, task.other)
    right = jnp.where(on_left, task.other, task.paying)
    shown = state.objects_shown.astype(jnp.float32)
    return jnp.concatenate([1 - shown[None], shown * left, shown * right])


def harlow(*, object_size: int = 8, num_trials: int = 6, trial_length: int = 4) -> TaskDistribution:
    """Look at the cross, then choose one of two objects; after one choice it is known which pays.

    A trial is an episode, which a choice ends. The objects' numbers are ~ U(-1, 1).

    Args:
        object_size: D, numbers that make an object.
        num_trials: trials in a meta-episode.
        trial_length: steps after which a trial ends without a choice.

    Returns:
        The task distribution, with exact values as its references. What it tells the contextual
        policy is the object that pays, then the other.

    Raises:
        ConfigurationError: an argument below its least.
    """
    check_whole_number("harlow", "object_size", object_size, at_least=1)
    check_whole_number("harlow", "num_trials", num_trials, at_least=1)
    check_whole_number("harlow", "trial_length", trial_length, at_least=2)

    def sample(key: Key) -> HarlowTask:
        return HarlowTask(*jax.random.uniform(key, (2, object_size), jnp.float32, -1.0, 1.0))

    return TaskDistribution(
        name="harlow",
        environment=Harlow(object_size),
        sample=sample,
        describe=lambda task: jnp.concatenate([task.paying, task.other]),
        episode_length=trial_length,
        num_episodes=num_trials,
        ends_early=True,
        references=functools.cache(lambda: harlow_references(object_size, num_trials)),
    )


def harlow_references(object_size: int, num_trials: int) -> References:
    """Chance in the first trial, where it is as well to choose as not; certainty afterwards."""
    guessed = CROSS_REWARD + (RIGHT_REWARD + WRONG_REWARD) / 2
    known = CROSS_REWARD + RIGHT_REWARD
    returns = (guessed, *[known] * (num_trials - 1))
    return References(
        optimal_total=sum(returns),
        optimal_episodes=returns,
        memoryless_total=num_trials * guessed,
        oracle_total=num_trials * known,
        agents={"bayes-optimal": lambda: _one_look(object_size)},
    )


def _one_look(size: int) -> Policy:
    """Chooses the left object once, and ever after the one that it then knows to pay."""

    def learn(paying: Array, experience: Experience) -> Array:
        last = experience.transition
        left, right = last.observation[1 : 1 + size], last.observation[1 + size :]
        was_left = (last.reward == RIGHT_REWARD) == (last.action == LEFT)
        chose = jnp.abs(last.reward) == RIGHT_REWARD
        return jnp.where(chose, jnp.where(was_left, left, right), paying)

    def act(params: PyTree, key: Key, paying: Array, plan: PyTree, experience: Experience) -> Array:
        del params, key, plan
        seen = experience.observation
        on_right = jnp.all(seen[1 + size :] == paying)
        choice = jnp.where(on_right, RIGHT, LEFT)
        return best_of(jnp.arange(3) == jnp.where(seen[0] == 1, AHEAD, choice))

    return as_policy("bayes-optimal", Agent(lambda: jnp.zeros((size,), jnp.float32), learn, act))
