"""Classical agents as policies: a belief in the carry, and randomness from the carry's key.

They stand in the same evaluator as what was learned, and every number of a table comes from it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.distributions import Categorical
from metarl_jax.policy import Policy, PolicyOutput
from metarl_jax.types import Array, Experience, Key, PyTree

NEVER = -1e9
"""A logit that no sample meets, and whose probability times itself is 0."""


def agent(
    name: str,
    belief: Callable[[], PyTree],
    act: Callable[[Any, Key, PyTree, Experience], tuple[PyTree, Array]],
    params: PyTree = (),
) -> Policy:
    """A policy that nobody trains.

    Args:
        name: what a table calls it.
        belief: of one task, before its first step.
        act: (params, key, belief, experience) -> (belief, logits [n] of the n actions), of one
            task. It learns from the experience's last transition, then chooses.
        params: tables that the agent looks up; the same for all tasks.
    """

    def initial_carry(key: Key) -> PyTree:
        return key, belief()

    def step_of_one(
        params: Any, carry: PyTree, experience: Experience
    ) -> tuple[PyTree, PolicyOutput]:
        key, now = jax.random.split(carry[0])
        known, logits = act(params, now, carry[1], experience)
        nothing = jnp.zeros((0,), jnp.float32)
        return (key, known), PolicyOutput(Categorical(logits), jnp.zeros((), jnp.float32), nothing)

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        batched = step_of_one
        for _ in range(experience.episode_start.ndim):
            batched = jax.vmap(batched, in_axes=(None, 0, 0))
        return batched(params, carry, experience)

    def unroll(params: Any, carry: PyTree, xs: Experience) -> tuple[PyTree, PolicyOutput]:
        return jax.lax.scan(lambda carry, x: step(params, carry, x), carry, xs)

    def init(key: Key) -> PyTree:
        del key
        return params

    return Policy(name, False, init, initial_carry, step, unroll)


def best_of(scores: Array) -> Array:
    """Logits [n] of the action with the highest score [n]; the first of equal ones."""
    return jnp.where(jnp.arange(scores.shape[0]) == jnp.argmax(scores), 0.0, NEVER)


def with_chance(logits: Array, chance: float) -> Array:
    """Logits [n] of an action of these, and with a chance of ε of any, all alike."""
    return jnp.log((1 - chance) * jax.nn.softmax(logits) + chance / logits.shape[0])
