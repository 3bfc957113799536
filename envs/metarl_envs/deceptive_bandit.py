"""Arms that are worse than a known one on average, and better only for who looks for the best.

The first arm always has the same mean, above what the others have on average: every first pull of
another costs something. A policy that is trained to earn may settle on the first arm before it has
learned to look around.

Reference:
    Norman, Clune (2023), "First-Explore, then Exploit: Meta-Learning to Solve Hard
    Exploration-Exploitation Trade-Offs", its bandits with one fixed arm (10 arms, 100 pulls).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.agents.gaussian import gaussian_agents
from metarl_envs.bandit import Bandit, BanditState
from metarl_jax.checks import check_whole_number
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.types import Array, Key

FIXED_MEAN = 0.5
NOISE_VARIANCE = 0.5


class DeceptiveTask(struct.PyTreeNode):
    """What is hidden: what each arm pays on average. That of the first is always 0.5."""

    means: Array  # [k] float32


class DeceptiveBandit(Bandit):
    """Pulling arm a pays N(μ_a, 1/2). The observation is a single 0, as a bandit's is."""

    def step_env(
        self, key: Key, state: BanditState, action: Array, task: DeceptiveTask
    ) -> tuple[Array, BanditState, Array, Array, dict[str, Array]]:
        """Pulls arm `action`."""
        noise = jnp.float32(NOISE_VARIANCE**0.5) * jax.random.normal(key, (), jnp.float32)
        observation = jnp.zeros((1,), jnp.float32)
        return observation, state, task.means[action] + noise, jnp.zeros((), bool), {}


def deceptive_bandit(*, num_arms: int = 10, num_pulls: int = 100) -> TaskDistribution:
    """Slot machines: the first pays 0.5 on average, always; the others have means ~ N(0, 1).

    Every pull is an episode of one step.

    Args:
        num_arms: arms to choose from, k, the first among them.
        num_pulls: pulls in a meta-episode, n.

    Returns:
        The task distribution. Its Bayes-optimal return is not known.

    Raises:
        ConfigurationError: fewer than two arms or less than one pull.
    """
    check_whole_number("deceptive_bandit", "num_arms", num_arms, at_least=2)
    check_whole_number("deceptive_bandit", "num_pulls", num_pulls, at_least=1)

    def sample(key: Key) -> DeceptiveTask:
        means = jax.random.normal(key, (num_arms,), jnp.float32)
        return DeceptiveTask(means.at[0].set(FIXED_MEAN))

    return TaskDistribution(
        name="deceptive_bandit",
        environment=DeceptiveBandit(num_arms),
        sample=sample,
        describe=lambda task: task.means,
        episode_length=1,
        num_episodes=num_pulls,
        ends_early=False,
        references=functools.cache(lambda: deceptive_references(num_arms, num_pulls)),
    )


def deceptive_references(num_arms: int, num_pulls: int) -> References:
    """No memory, the first arm; the means told, the best arm; and the agents."""
    first = np.arange(num_arms) == 0
    return References(
        memoryless_total=num_pulls * FIXED_MEAN,
        random_total=num_pulls * FIXED_MEAN / num_arms,
        oracle_return=lambda task: num_pulls * jnp.max(task.means),
        oracle_total=num_pulls * best_mean(num_arms - 1),
        agents=gaussian_agents(FIXED_MEAN * first, 1.0 - first, NOISE_VARIANCE),
    )


def best_mean(num_others: int) -> float:
    """E max(0.5, X_1, …, X_m) of standard normals: 0.5 + ∫_0.5^∞ (1 - Φ(x)^m) dx."""
    from scipy.integrate import quad
    from scipy.special import ndtr

    above, _ = quad(lambda x: 1 - ndtr(x) ** num_others, FIXED_MEAN, np.inf)
    return FIXED_MEAN + above
