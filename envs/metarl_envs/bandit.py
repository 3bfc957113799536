"""Bernoulli bandits: k arms, hidden success probabilities, every pull an episode of one step.

Reference:
    Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel (2016), "RL²: Fast Reinforcement Learning via
    Slow Reinforcement Learning", section 3.1.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs.agents.bernoulli import bandit_references
from metarl_jax.checks import check_whole_number
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.scene import Choice, Scene
from metarl_jax.types import Array, Key


class BanditTask(struct.PyTreeNode):
    """What is hidden: how often each arm pays."""

    probabilities: Array  # [k] float32, within [0, 1]


class BanditState(struct.PyTreeNode):
    """A bandit is in one state, always; there is nothing to remember."""


class Bandit(environment.Environment[Any, Any]):
    """Pulling arm a pays 1 with probability p_a, else 0.

    The observation is a single 0: the one state there is tells nothing. A 0 adds nothing to any
    layer that reads it and stays 0 under normalisation; it is there because policies read vectors
    of at least one number.
    """

    def __init__(self, num_arms: int) -> None:
        self.num_arms = num_arms

    def reset_env(self, key: Key, task: BanditTask) -> tuple[Array, BanditState]:
        """Returns (observation [1] float32, state); draws nothing."""
        del key, task
        return jnp.zeros((1,), jnp.float32), BanditState()

    def step_env(
        self, key: Key, state: BanditState, action: Array, task: BanditTask
    ) -> tuple[Array, BanditState, Array, Array, dict[str, Array]]:
        """Pulls arm `action`: reward ~ Bernoulli(p_action)."""
        pays = jax.random.uniform(key, (), jnp.float32) < task.probabilities[action]
        return (
            jnp.zeros((1,), jnp.float32),
            state,
            pays.astype(jnp.float32),
            jnp.zeros((), bool),
            {},
        )

    def action_space(self, task: BanditTask) -> spaces.Discrete:
        """One action per arm."""
        del task
        return spaces.Discrete(self.num_arms)

    def observation_space(self, task: BanditTask) -> spaces.Box:
        """One number, always 0."""
        del task
        return spaces.Box(0.0, 1.0, (1,), jnp.float32)


def _scene(task: BanditTask, states: BanditState) -> Scene:
    """The arms and what each pays on average; what was pulled is an action, and no state."""
    del states
    worth = np.asarray(task.probabilities, np.float64)
    best = int(np.argmax(worth))
    return Scene(
        task=f"arm {best + 1} of {len(worth)} is the best and pays {worth[best]:.0%} of its pulls",
        choices=tuple(Choice(f"arm {i + 1}", float(p)) for i, p in enumerate(worth)),
    )


def bandit(*, num_arms: int = 5, num_pulls: int = 10) -> TaskDistribution:
    """A row of slot machines that pay 1 or 0, each with a hidden probability ~ U(0, 1).

    Every pull is an episode of one step, so that all a policy learns crosses an episode's end.

    Args:
        num_arms: arms to choose from, k.
        num_pulls: pulls in a meta-episode, n.

    Returns:
        The task distribution, with exact values and classical agents as its references.

    Raises:
        ConfigurationError: fewer than two arms or less than one pull.
    """
    check_whole_number("bandit", "num_arms", num_arms, at_least=2)
    check_whole_number("bandit", "num_pulls", num_pulls, at_least=1)

    def sample(key: Key) -> BanditTask:
        return BanditTask(jax.random.uniform(key, (num_arms,), jnp.float32))

    return TaskDistribution(
        name="bandit",
        environment=Bandit(num_arms),
        sample=sample,
        describe=lambda task: task.probabilities,
        episode_length=1,
        num_episodes=num_pulls,
        ends_early=False,
        references=functools.cache(lambda: bandit_references(num_arms, num_pulls)),
        scene=_scene,
    )
