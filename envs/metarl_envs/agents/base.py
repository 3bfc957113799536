"""Classical agents as policies: a belief in the carry, and randomness from the carry's key.

They stand in the same evaluator as what was learned, and every number of a table comes from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metarl_jax.memory import unroll_by_steps
from metarl_jax.policy.distributions import Categorical
from metarl_jax.policy.policy import Policy, PolicyOutput
from metarl_jax.trees import select
from metarl_jax.types import Array, Experience, Key, PyTree

NEVER = -1e9
"""A logit that no sample meets, and whose probability times itself is 0."""


class Agent(NamedTuple):
    """How an agent learns and acts, written for one task.

    Attributes:
        belief: before the first step.
        learn: (belief, experience) -> belief, from the experience's last transition, which is blank
            before the first step.
        plan: (params, key, belief) -> what it holds on to for an episode; made where one begins.
        act: (params, key, belief, plan, experience) -> logits [n] of the n actions.
    """

    belief: Callable[[], PyTree]
    learn: Callable[[PyTree, Experience], PyTree]
    act: Callable[[Any, Key, PyTree, PyTree, Experience], Array]
    plan: Callable[[Any, Key, PyTree], PyTree] = lambda params, key, belief: ()


def as_policy(name: str, agent: Agent, params: PyTree = (), *, contextual: bool = False) -> Policy:
    """A policy that nobody trains.

    Args:
        name: what a table calls it.
        agent: what it does.
        params: tables that the agent looks up; the same for all tasks.
        contextual: whether it is told the task.
    """

    def initial_carry(key: Key) -> PyTree:
        belief = agent.belief()
        plan = jax.eval_shape(agent.plan, params, key, belief)  # made at the first step
        return key, belief, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), plan)

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        def each(function: Callable[..., Any], *arguments: Any) -> Any:
            for _ in range(experience.episode_start.ndim):
                function = jax.vmap(function)
            return function(*arguments)

        def planned() -> PyTree:
            new = each(lambda key, belief: agent.plan(params, key, belief), planning, belief)
            return select(experience.episode_start, new, plan)

        keys, belief, plan = carry
        own, planning, acting = each(_three, keys)
        belief = each(agent.learn, belief, experience)
        # A plan takes long: none is made at steps where no episode of the batch begins.
        plan = jax.lax.cond(jnp.any(experience.episode_start), planned, lambda: plan)
        logits = each(lambda *rest: agent.act(params, *rest), acting, belief, plan, experience)
        zero = jnp.zeros(experience.episode_start.shape, jnp.float32)
        return (own, belief, plan), PolicyOutput(
            Categorical(logits), zero, zero[..., None][..., :0]
        )

    def init(key: Key) -> PyTree:
        del key
        return params

    return Policy(name, contextual, init, initial_carry, step, unroll_by_steps(step))


def _three(key: Key) -> tuple[Key, Key, Key]:
    first, second, third = jax.random.split(key, 3)
    return first, second, third


def best_of(scores: Array) -> Array:
    """Logits [n] of the action with the highest score [n]; the first of equal ones."""
    return jnp.where(jnp.arange(scores.shape[0]) == jnp.argmax(scores), 0.0, NEVER)


def with_chance(logits: Array, chance: float) -> Array:
    """Logits [n] of an action of these, and with a chance of ε of any, all alike."""
    return jnp.log((1 - chance) * jax.nn.softmax(logits) + chance / logits.shape[0])
