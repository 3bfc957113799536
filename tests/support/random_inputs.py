"""Random weights, experiences and train states, nowhere at a symmetric point."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.learning.schedules import Hyperparameters, over
from metarl_jax.learning.train_state import Algorithm, LearnerState, TrainState, initial_shapes
from metarl_jax.policy.policy import Policy, PolicyParams, blank_experience
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, Experience, PyTree


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
    blank = blank_experience(tasks.specification, contextual)
    wide = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype), blank)
    return noise_like(wide, seed=1, scale=1.0)


def random_state(
    algorithm: Algorithm, hyperparameters: Hyperparameters, seed: int = 0
) -> TrainState:
    """A train state before its first update, as `init` gives one, but for `random_params`."""
    state = initial_shapes(algorithm, jax.random.key(0), 3)
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
        hyperparameters=over(hyperparameters, 3),
        num_updates=jnp.float32(3),
        update=jnp.int32(0),
        skipped=jnp.int32(0),
        skipped_in_a_row=jnp.int32(0),
        key=jax.random.key(seed),
    )
