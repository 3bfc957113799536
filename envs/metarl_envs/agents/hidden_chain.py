"""The best player of Bernoulli arms that depend on one hidden thing, which may move.

What is hidden is in one of S states x, and moves from pull to pull. The belief is P(x | what was
seen), by Bayes' rule and the law of its moves; pulled is the arm that pays most by it, the first of
equal ones. That is optimal where every arm tells the same (`references.passive`).
"""

import jax.numpy as jnp
import numpy as np

from metarl_envs.agents.base import Agent, as_policy, best_of
from metarl_jax.policy.policy import Policy
from metarl_jax.types import Array, Experience, Key, PyTree


def believer(name: str, prior: np.ndarray, transition: np.ndarray, pays: np.ndarray) -> Policy:
    """Keeps the exact belief, and pulls what pays most by it.

    Args:
        name: what a table calls it.
        prior: [S], P(x) at the first pull.
        transition: [S, S], P(x' | x) from a pull to the next, by rows.
        pays: [S, A], how often each arm pays in each state.
    """
    moves, chances = jnp.asarray(transition, jnp.float32), jnp.asarray(pays, jnp.float32)

    def learn(belief: Array, experience: Experience) -> Array:
        last = experience.transition
        chance = chances[:, last.action]
        seen = belief * jnp.where(last.reward > 0.5, chance, 1 - chance)
        after = seen @ moves
        return jnp.where(last.action < 0, belief, after / jnp.sum(after))

    def act(params: PyTree, key: Key, belief: Array, plan: PyTree, experience: Experience) -> Array:
        del params, key, plan, experience
        return best_of(belief @ chances)

    return as_policy(name, Agent(lambda: jnp.asarray(prior, jnp.float32), learn, act))
