"""What a gradient keeps and what it computes again: never another value, never a large product."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metarl_envs.bandit import bandit
from metarl_jax import UpdateConfig, a2c, adaptive_policy, gru, hyperparameters
from metarl_jax.memory.remat import remat, save_for_backward
from metarl_jax.training.chunks import compile_chunk
from metarl_jax.training.memory_budget import program_bytes
from metarl_jax.types import Array
from support.comparisons import assert_same
from support.probes import counter
from support.random_inputs import noise_like, random_experience, random_params
from support.updates_seen import operations

HIDDEN_SIZE = 96
NUM_TASKS = 32


def layer(weights: Array, x: Array, *, kept: bool) -> Array:
    y = x @ weights
    return jnp.sum(jnp.tanh(save_for_backward(y) if kept else y) ** 2)


@pytest.mark.parametrize(("kept", "expected"), [(True, 3), (False, 4)])
def test_what_is_kept_is_not_computed_again(kept: bool, expected: int) -> None:
    """Forward, and backward to the weights and to the input; once more where it was not kept."""
    step = remat(lambda weights, x: layer(weights, x, kept=kept))
    weights, x = jnp.ones((3, 5)), jnp.ones((2, 3))
    traced = jax.make_jaxpr(jax.grad(step, argnums=(0, 1)))(weights, x)
    assert len(list(operations(traced.jaxpr, "dot_general"))) == expected


def test_values_and_gradients_are_those_of_the_plain_function() -> None:
    weights, x = noise_like((jnp.zeros((3, 5)), jnp.zeros((2, 3))), 1)
    plain = lambda weights, x: layer(weights, x, kept=False)
    again = remat(lambda weights, x: layer(weights, x, kept=True))
    for given in (weights, 30 * weights):
        expected = jax.jit(jax.value_and_grad(plain, argnums=(0, 1)))(given, x)
        assert_same(jax.jit(jax.value_and_grad(again, argnums=(0, 1)))(given, x), expected)


@pytest.mark.parametrize("path", ["step", "unroll"])
def test_the_product_of_a_gru_with_its_state_is_taken_once(path: str) -> None:
    """And backward twice, to the weights and to the state."""
    tasks = counter()
    policy = adaptive_policy(tasks, gru(HIDDEN_SIZE))
    act = getattr(policy, path)
    experience = random_experience(tasks, False, *(3, 2)[path == "step" :])

    def scalar(weights: Any, carry: Array) -> Array:
        carry, output = act(params.replace(weights=weights), carry, experience)
        return jnp.sum(output.value) + jnp.sum(carry)

    params, carry = random_params(policy), jnp.zeros((2, HIDDEN_SIZE))
    traced = jax.make_jaxpr(jax.grad(scalar, argnums=(0, 1)))(params.weights, carry)
    sizes = {2, HIDDEN_SIZE, 3 * HIDDEN_SIZE}
    products = operations(traced.jaxpr, "dot_general")
    read = [{n for v in eqn.invars for n in v.aval.shape} for eqn in products]
    assert len([n for n in read if n <= sizes and HIDDEN_SIZE in n]) == 3


def test_a_step_leaves_behind_its_state_and_four_gates() -> None:
    """Of numbers as many as the state has; and what the policy read, which is little beside it."""

    def bytes_needed(num_steps: int) -> int:
        tasks = bandit(num_arms=2, num_pulls=num_steps)
        config = UpdateConfig(num_tasks=NUM_TASKS)
        algorithm = a2c(tasks, adaptive_policy(tasks, gru(512)), hyperparameters(), config)
        taken = program_bytes(compile_chunk(algorithm, 1, algorithm.init(jax.random.key(0))))
        assert taken is not None
        return taken

    of_a_step = (bytes_needed(80) - bytes_needed(40)) / (40 * NUM_TASKS)
    assert 5 < of_a_step / (512 * jnp.dtype(jnp.float32).itemsize) < 5.5
