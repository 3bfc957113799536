"""Two Bernoulli arms that depend on each other: one pays with p, the other with 1 - p.

A pull of either tells the same, so that the best player pulls the better one by the belief, always.

Reference:
    Wang, Kurth-Nelson, Tirumala, Soyer, Leibo, Munos, Blundell, Kumaran, Botvinick (2016),
    "Learning to reinforcement learn", section 3.1 (its four distributions of p, and 100 pulls).
"""

import functools
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from metarl_envs.agents.bernoulli import index_agents
from metarl_envs.agents.hidden_chain import believer
from metarl_envs.bandit import Bandit, BanditTask
from metarl_envs.references.passive import dependent_arms_total, uniform_chances
from metarl_jax.checks import check_choice, check_whole_number
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.types import Array, Key

Kind = Literal["uniform", "easy", "medium", "hard"]
BETTER = {"easy": 0.9, "medium": 0.75, "hard": 0.6}
"""How often the better arm pays, where there are two tasks only."""

MAX_PULLS = 1000
"""Bound of the pulls, for which the exact optimum takes some five seconds."""


def dependent_bandit(*, kind: Kind = "uniform", num_pulls: int = 100) -> TaskDistribution:
    """Two slot machines that pay 1 or 0, with hidden probabilities p and 1 - p.

    Every pull is an episode of one step. The splits are the other kinds, and "independent": both
    probabilities ~ U(0, 1), each by itself.

    Args:
        kind: p ~ U(0, 1) where uniform; else p or 1 - p is 0.9 (easy), 0.75 (medium) or 0.6 (hard),
            either with probability 1/2.
        num_pulls: pulls in a meta-episode, n, at most 1,000.

    Returns:
        The task distribution, with exact values as its references. Its agents are those for
        independent arms, as in the paper, and the best player of all.

    Raises:
        ConfigurationError: there is no such kind, or the pulls are out of range.
    """
    check_choice("dependent_bandit", "kind", kind, get_args(Kind))
    check_whole_number("dependent_bandit", "num_pulls", num_pulls, at_least=1, at_most=MAX_PULLS)
    splits = {other: functools.partial(_sample, other) for other in get_args(Kind)}
    sample = splits.pop(kind)
    return TaskDistribution(
        name="dependent_bandit",
        environment=Bandit(2),
        sample=sample,
        describe=lambda task: task.probabilities,
        episode_length=1,
        num_episodes=num_pulls,
        ends_early=False,
        all_tasks=None if kind == "uniform" else lambda: BanditTask(_both_ways(BETTER[kind])),
        splits=splits | {"independent": _independent},
        references=functools.cache(lambda: _references(kind, num_pulls)),
    )


def _both_ways(better: float) -> Array:
    """[2, 2], the probabilities of the two tasks."""
    return jnp.array([[better, 1 - better], [1 - better, better]], jnp.float32)


def _sample(kind: str, key: Key) -> BanditTask:
    if kind == "uniform":
        chance = jax.random.uniform(key, (), jnp.float32)
        return BanditTask(jnp.stack([chance, 1 - chance]))
    return BanditTask(_both_ways(BETTER[kind])[jax.random.bernoulli(key).astype(jnp.int32)])


def _independent(key: Key) -> BanditTask:
    return BanditTask(jax.random.uniform(key, (2,), jnp.float32))


def _references(kind: str, num_pulls: int) -> References:
    """No memory, n / 2; the task told, n E max(p, 1 - p)."""
    chances, weights = uniform_chances(num_pulls)
    best = 0.75
    if kind != "uniform":
        best = BETTER[kind]
        chances, weights = np.array([best, 1 - best]), np.array([0.5, 0.5])
    pays = np.stack([chances, 1 - chances], axis=1)
    optimal: Callable = functools.partial(
        believer, "bayes-optimal", weights, np.eye(len(weights)), pays
    )
    return References(
        optimal_total=dependent_arms_total(chances, weights, num_pulls),
        memoryless_total=num_pulls / 2,
        random_total=num_pulls / 2,
        oracle_total=num_pulls * best,
        oracle_return=lambda task: num_pulls * jnp.max(task.probabilities),
        agents=index_agents(2, num_pulls) | {"bayes-optimal": optimal},
    )
