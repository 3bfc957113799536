"""To look inside a run: random weights and data, the gradient that was applied, comparisons."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend import core

from metarl_jax.evaluation.evaluate import evaluate
from metarl_jax.learning.algorithms import a2c, ppo
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.learning.train_state import Algorithm, LearnerState, TrainState
from metarl_jax.memory import unroll_by_steps
from metarl_jax.policy.policy import Policy, PolicyParams, blank_experience
from metarl_jax.rollout import Rollout, collect, start, task_keys
from metarl_jax.tasks.distribution import TaskDistribution, specification
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.tasks.purity import programs_of
from metarl_jax.types import Array, Experience, PyTree

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


def noise_like(shapes: PyTree, seed: int = 0, scale: float = 0.4) -> PyTree:
    """Random leaves of given shapes and dtypes: normals, small whole numbers, coin flips."""
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> Array:
        if leaf.dtype == jnp.bool_:
            return jnp.asarray(rng.random(leaf.shape) < 0.5)
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.asarray(rng.integers(0, 2, leaf.shape), leaf.dtype)
        return jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.map(draw, shapes)


def wide(carry: PyTree, leading: tuple[int, ...]) -> PyTree:
    """A carry of one task, with leading axes."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, leading + leaf.shape), carry)


def random_params(policy: Policy, seed: int = 0) -> PolicyParams:
    """Random weights, nowhere at a symmetric point, and statistics that are not the identity.

    A fresh policy answers almost alike whatever it reads (its last layers start near 0), and tests
    on it would miss what is wired wrongly. Nor is anything compiled here, as `init` would.
    """
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    half = lambda leaf: jnp.full(leaf.shape, 0.5, leaf.dtype)  # mean 0.5, variance 0.5
    return PolicyParams(noise_like(shapes.weights, seed), jax.tree.map(half, shapes.statistics))


def random_experience(tasks: TaskDistribution, contextual: bool, *leading: int) -> Experience:
    """An experience of noise, with leading axes."""
    blank = blank_experience(specification(tasks), contextual)
    wide = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype), blank)
    return noise_like(wide, seed=1, scale=1.0)


def random_state(
    algorithm: Algorithm, hyperparameters: Hyperparameters, seed: int = 0
) -> TrainState:
    """A train state before its first update, as `init` gives one, but for `random_params`."""
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    learner = state.learner
    half = lambda leaf: jnp.full(leaf.shape, 0.5, leaf.dtype)
    zero = lambda leaf: jnp.zeros(leaf.shape, leaf.dtype)
    params = PolicyParams(
        noise_like(learner.params.weights, seed), jax.tree.map(half, learner.params.statistics)
    )
    return TrainState(
        learner=LearnerState(
            params=params,
            loss_params=noise_like(learner.loss_params, seed + 1),
            optimizer_state=jax.tree.map(zero, learner.optimizer_state),
            advantage=jax.tree.map(half, learner.advantage),
        ),
        hyperparameters=hyperparameters,
        num_updates=jnp.float32(3),
        update=jnp.int32(0),
        skipped=jnp.int32(0),
        skipped_in_a_row=jnp.int32(0),
        key=jax.random.key(seed),
    )


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


def relative_error(actual: PyTree, expected: PyTree) -> float:
    """The largest relative error of a leaf: max |actual - expected| / max |expected|.

    A leaf whose numbers are all tiny beside another leaf's (a thousandth) is measured against that
    thousandth: it is a difference of large numbers, and has their rounding errors.
    """
    as_float64 = lambda tree: [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    pairs = list(zip(as_float64(actual), as_float64(expected), strict=True))
    assert all(a.shape == e.shape for a, e in pairs)
    sizes = [np.max(np.abs(e), initial=0.0) for _, e in pairs]
    floor = max(1e-3 * max(sizes, default=0.0), 1e-30)
    errors = [
        np.max(np.abs(a - e), initial=0.0) / max(size, floor)
        for (a, e), size in zip(pairs, sizes, strict=True)
    ]
    return float(max(errors, default=0.0))


def assert_same(actual: PyTree, expected: PyTree) -> None:
    """Every leaf equal bit for bit, dtypes too; typed keys by their data."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, e = jax.random.key_data(a), jax.random.key_data(e)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(e))


def earned(tasks: TaskDistribution, agent: str, num_tasks: int) -> tuple[float, float]:
    """A classical agent's mean total return, and its standard error."""
    policy = tasks.references().agents[agent]()
    params = policy.init(jax.random.key(0))
    result = evaluate(tasks, policy, params, jax.random.key(1), num_tasks)
    return result.total_return_mean, result.total_return_ci95 / 1.96


def played(tasks: TaskDistribution, agent: str, num_tasks: int) -> Rollout:
    """[T, B] of a classical agent's meta-episodes in fresh tasks."""
    policy = tasks.references().agents[agent]()
    params = policy.init(jax.random.key(0))
    drawn = jax.vmap(tasks.sample)(task_keys(jax.random.key(2), num_tasks))
    actors = start(policy, MetaEpisode(tasks), drawn, task_keys(jax.random.key(3), num_tasks))
    run = jax.jit(lambda actors: collect(policy, params, MetaEpisode(tasks), actors)[1])
    return jax.tree.map(np.asarray, run(actors))
