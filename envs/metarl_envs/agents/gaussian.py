"""Classical agents for bandits whose arms pay a mean, hidden, plus normal noise of known variance.

Before the first pull the mean of arm i is N(m_i, v_i), known where v_i is 0. After n_i pulls of sum
R_i, with noise of variance σ², it is

    N((m_i σ² + v_i R_i) / (σ² + n_i v_i),  v_i σ² / (σ² + n_i v_i))

Pulled is the arm with the highest score, the first of equal ones; t is the number of pulls so far:

    greedy          the mean
    ε-greedy        the mean, and with probability ε any arm
    Thompson        a sample                                                 (Thompson 1933)
    Bayes-UCB       the quantile 1 - 1 / (2 + t)         (Kaufmann, Cappé, Garivier 2012)
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.agents.base import Agent, as_policy, best_of, with_chance
from metarl_jax.policy.policy import Policy
from metarl_jax.types import Array, Experience, Key, PyTree

CHANCE = 0.05
"""ε."""


class Prior(struct.PyTreeNode):
    """What is believed before the first pull."""

    means: Array  # [k] float32, m
    variances: Array  # [k] float32, v
    noise: float = struct.field(pytree_node=False)
    """σ², above 0."""


class Sums(struct.PyTreeNode):
    """What was pulled, and what it paid."""

    pulls: Array  # [k] float32, n
    rewards: Array  # [k] float32, R


Logits = Callable[[Key, Array, Array, Array], Array]
"""(key, means [k], standard deviations [k], t) -> logits [k]."""


def posterior(prior: Prior, sums: Sums) -> tuple[Array, Array]:
    """Means and standard deviations [k]."""
    weight = prior.noise + sums.pulls * prior.variances
    means = (prior.means * prior.noise + prior.variances * sums.rewards) / weight
    return means, jnp.sqrt(prior.variances * prior.noise / weight)


def _gaussian_agent(name: str, prior: Prior, logits: Logits) -> Policy:
    num_arms = prior.means.shape[0]

    def belief() -> Sums:
        zeros = jnp.zeros((num_arms,), jnp.float32)
        return Sums(zeros, zeros)

    def learn(sums: Sums, experience: Experience) -> Sums:
        last = experience.transition
        pulled = (jnp.arange(num_arms) == last.action).astype(jnp.float32)
        return Sums(sums.pulls + pulled, sums.rewards + pulled * last.reward)

    def act(params: PyTree, key: Key, sums: Sums, plan: PyTree, experience: Experience) -> Array:
        del params, plan, experience
        return logits(key, *posterior(prior, sums), jnp.sum(sums.pulls))

    return as_policy(name, Agent(belief, learn, act))


def _any(key: Key, means: Array, deviations: Array, time: Array) -> Array:
    return jnp.zeros_like(means)


def _greedy(key: Key, means: Array, deviations: Array, time: Array) -> Array:
    return best_of(means)


def _epsilon_greedy(key: Key, means: Array, deviations: Array, time: Array) -> Array:
    return with_chance(best_of(means), CHANCE)


def _thompson(key: Key, means: Array, deviations: Array, time: Array) -> Array:
    return best_of(means + deviations * jax.random.normal(key, means.shape, jnp.float32))


def _bayes_ucb(key: Key, means: Array, deviations: Array, time: Array) -> Array:
    return best_of(means + deviations * jax.scipy.stats.norm.ppf(1 - 1 / (2 + time)))


def gaussian_agents(
    means: np.ndarray, variances: np.ndarray, noise: float
) -> dict[str, Callable[[], Policy]]:
    """The agents by name, for arms of means N(m, v) [k] and noise of variance σ²."""
    prior = Prior(jnp.asarray(means, jnp.float32), jnp.asarray(variances, jnp.float32), noise)
    scores: dict[str, Logits] = {
        "random": _any,
        "greedy": _greedy,
        "epsilon-greedy": _epsilon_greedy,
        "thompson": _thompson,
        "bayes-ucb": _bayes_ucb,
    }
    return {name: partial(_gaussian_agent, name, prior, logits) for name, logits in scores.items()}
