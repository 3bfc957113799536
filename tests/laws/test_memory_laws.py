"""What every memory must obey. A new memory joins by its line in MEMORIES."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import Memory, MemoryInput, gru, memoryless, unroll_by_steps
from metarl_jax.types import Array, PyTree

from probes import assert_same, perturbed, relative_error

MEMORIES = {"gru": gru(7), "memoryless": memoryless()}
NUM_STEPS, NUM_TASKS = 6, 3

pytestmark = pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES.keys())


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    with jax.default_matmul_precision("highest"):
        yield


def inputs(*leading: int) -> MemoryInput:
    transition_key, observation_key = jax.random.split(jax.random.key(1))
    return MemoryInput(
        transition=jax.random.normal(transition_key, (*leading, 5)),
        observation=jax.random.normal(observation_key, (*leading, 4)),
    )


def make(memory: Memory) -> PyTree:
    init_key, noise_key = jax.random.split(jax.random.key(0))
    return perturbed(memory.init(init_key, inputs()), noise_key)


def carries(memory: Memory, *leading: int) -> PyTree:
    """Carries away from the initial one, with leading axes."""
    initial = memory.initial_carry(jax.random.key(2))
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (*leading, *x.shape)), initial)
    return perturbed(wide, jax.random.key(3))


def squares(ys: Array, carry: PyTree) -> Array:
    """A scalar that reads every entry of every output, each with a weight of its own."""
    weights = jnp.cos(jnp.arange(ys.size, dtype=jnp.float32)).reshape(ys.shape)
    total = jnp.sum(weights * jnp.square(ys))
    return total + sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(carry))


def test_unroll_equals_steps_in_outputs_carry_and_gradients(memory: Memory) -> None:
    params, xs = make(memory), inputs(NUM_STEPS, NUM_TASKS)
    carry = carries(memory, NUM_TASKS)

    def run(unroll: Any) -> Any:
        def scalar(params: PyTree, carry: PyTree, xs: MemoryInput) -> tuple[Array, Any]:
            after, ys = unroll(params, carry, xs)
            return squares(ys, after), (after, ys)

        return jax.jit(jax.value_and_grad(scalar, argnums=(0, 1, 2), has_aux=True))(
            params, carry, xs
        )

    (_, outputs), gradients = run(memory.unroll)
    (_, stepped), stepped_gradients = run(unroll_by_steps(memory.step))
    assert relative_error(outputs, stepped) < 1e-5
    for name, ours, theirs in zip(
        ("params", "carry", "inputs"), gradients, stepped_gradients, strict=True
    ):
        assert relative_error(ours, theirs) < 1e-5, name
    if jax.tree.leaves(params):
        assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients)), "a gradient that is 0"


def test_outputs_depend_on_no_later_input_exactly(memory: Memory) -> None:
    params, xs, carry = make(memory), inputs(NUM_STEPS), carries(memory)
    jacobian = jax.jit(jax.jacrev(lambda xs: memory.unroll(params, carry, xs)[1]))(xs)
    for part in jacobian:  # [T, M, T', D]
        size = np.abs(np.asarray(part)).sum(axis=(1, 3))
        np.testing.assert_array_equal(np.triu(size, 1), 0.0)
        if part.size:
            assert np.all(size[np.tril_indices(NUM_STEPS)] > 0), "the past is not remembered"


def test_unrolling_in_two_parts_is_unrolling_at_once(memory: Memory) -> None:
    """The carry holds all there is to know of the past."""
    params, xs, carry = make(memory), inputs(NUM_STEPS), carries(memory)
    unroll = jax.jit(memory.unroll)
    whole = unroll(params, carry, xs)
    middle, first = unroll(params, carry, jax.tree.map(lambda x: x[:2], xs))
    after, second = unroll(params, middle, jax.tree.map(lambda x: x[2:], xs))
    assert relative_error((after, jnp.concatenate([first, second])), whole) < 1e-6


def test_a_batch_is_its_rows(memory: Memory) -> None:
    """Leading axes, vmap and a loop are one."""
    params, xs, carry = make(memory), inputs(NUM_TASKS), carries(memory, NUM_TASKS)
    step = jax.jit(memory.step)
    batched = step(params, carry, xs)
    mapped = jax.jit(jax.vmap(memory.step, in_axes=(None, 0, 0)))(params, carry, xs)
    rows = [step(params, *jax.tree.map(lambda x, i=i: x[i], (carry, xs))) for i in range(NUM_TASKS)]
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    assert relative_error(batched, looped) < 1e-6
    assert relative_error(mapped, looped) < 1e-6


def test_the_carry_keeps_its_shapes_and_types(memory: Memory) -> None:
    params = make(memory)
    carry = memory.initial_carry(jax.random.key(2))
    after, y = jax.eval_shape(memory.step, params, carry, inputs())
    describe = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    assert describe(after) == describe(carry)
    assert y.ndim == 1 and y.dtype == jnp.float32
    _, ys = jax.eval_shape(memory.unroll, params, carry, inputs(NUM_STEPS))
    assert ys.shape == (NUM_STEPS, *y.shape)


def test_the_same_keys_give_the_same_memory(memory: Memory) -> None:
    assert_same(make(memory), make(memory))
    assert_same(memory.initial_carry(jax.random.key(2)), memory.initial_carry(jax.random.key(2)))
