"""To look inside an update: the gradient that was applied, the carries, the operations."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.extend import core

from metarl_jax.learning.algorithms import a2c, ppo
from metarl_jax.learning.train_state import TrainState
from metarl_jax.memory import unroll_by_steps
from metarl_jax.policy.policy import Policy, PolicyParams
from metarl_jax.tasks.purity import programs_of
from metarl_jax.types import Experience, PyTree

ADAM_FIRST_MOMENT_SHARE = 0.1
"""1 - β₁: what Adam's first moment holds of a gradient after one step."""

# Other programs of the tests are compiled without LLVM's passes, whose sums round otherwise.
WITH_LLVMS_PASSES = {"xla_backend_optimization_level": 3}

ALGORITHMS = {
    "a2c": a2c,
    "a2c, segments": partial(a2c, bptt_segments=2),
    "ppo": partial(ppo, epochs=2, minibatches=2),
}
"""Every way of taking gradient steps."""


def remembering(policy: Policy) -> Policy:
    """The policy, whose features are its carry before and after each step."""

    def step(params: Any, carry: PyTree, experience: Experience) -> Any:
        after, output = policy.step(params, carry, experience)
        return after, output.replace(features={"before": carry, "after": after})

    return policy._replace(step=step, unroll=unroll_by_steps(step))


def unmoved(policy: Policy) -> Policy:
    """The policy, deaf to what the statistics gather: it acts by those of `random_params`."""

    def fixed(act: Any) -> Any:
        def with_fixed(params: PolicyParams, carry: PyTree, experience: Experience) -> Any:
            half = jax.tree.map(lambda x: jnp.full_like(x, 0.5), params.statistics)
            return act(params.replace(statistics=half), carry, experience)

        return with_fixed

    return policy._replace(step=fixed(policy.step), unroll=fixed(policy.unroll))


def applied_gradient(state: TrainState) -> PyTree:
    """The gradient that reached Adam, out of the state after a run's first update.

    With respect to (weights, loss_params), after the clipping: give an infinite maximum norm to see
    the raw one. Parameters after a step of Adam would hide a gradient wrong by a factor.
    """
    moment = optax.tree_utils.tree_get(state.learner.optimizer_state, "mu")
    return jax.tree.map(lambda m: m / ADAM_FIRST_MOMENT_SHARE, moment)


def operations(jaxpr: core.Jaxpr, name: str) -> Iterator[core.JaxprEqn]:
    """The operations of that name in a traced program and in all that it calls."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == name:
            yield eqn
        for program in programs_of(eqn):
            yield from operations(program, name)
