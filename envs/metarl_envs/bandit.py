"""Bernoulli bandits: k arms, hidden success probabilities, every pull an episode of one step.

Reference:
    Duan, Schulman, Chen, Bartlett, Sutskever, Abbeel (2016), "RL²: Fast Reinforcement Learning via
    Slow Reinforcement Learning", section 3.1.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs.arguments import check_whole_number
from metarl_jax.tasks import References, TaskDistribution
from metarl_jax.types import Array, Key

OPTIMAL_TOTALS = {
    (1, 1): 0.5,
    (2, 2): 1.0833333333,
    (2, 3): 1.6666666667,
    (2, 5): 2.8888888889,
    (2, 10): 6.0217857143,
    (2, 20): 12.4312649059,
    (2, 50): 31.9967118817,
    (2, 100): 64.9184206510,
    (3, 10): 6.4096428571,
    (5, 5): 3.0520833333,
    (5, 10): 6.6599878748,
    (10, 10): 6.7139511914,
}
"""Bayes-optimal total reward by (arms, pulls), from the dynamic programme over posterior counts.

Untouched arms are alike and n pulls touch at most n of them, so k > n arms are worth what n are.
"""


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
        pays = jax.random.uniform(key) < task.probabilities[action]
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


def bandit(*, num_arms: int = 5, num_pulls: int = 10) -> TaskDistribution:
    """A row of slot machines that pay 1 or 0, each with a hidden probability ~ U(0, 1).

    Every pull is an episode of one step, so that all a policy learns crosses an episode's end.

    Args:
        num_arms: arms to choose from, k.
        num_pulls: pulls in a meta-episode, n.

    Returns:
        The task distribution. Its references: nothing crossing an episode's end, n/2; the
        probabilities told, n·k/(k+1), the mean of the largest of k uniforms; the Bayes optimum
        where it has been computed.

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
        references=References(
            optimal_total=OPTIMAL_TOTALS.get((min(num_arms, num_pulls), num_pulls)),
            memoryless_total=num_pulls / 2,
            known_task_total=num_pulls * num_arms / (num_arms + 1),
        ),
    )
