"""What every memory must obey. A new memory joins by its line in MEMORIES."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import (
    Memory,
    MemoryInput,
    context_set,
    gru,
    linear_recurrence,
    lstm,
    memoryless,
    snail,
    stacked,
    transformer,
    unroll_by_steps,
)
from metarl_jax.memory.sequence_model import squares
from metarl_jax.types import Array, PyTree
from support.comparisons import assert_same, relative_error
from support.random_inputs import noise_like, wide

MEMORIES = {
    "gru": gru(7),
    "gru in layers": stacked(gru(7), 3),
    "lstm": lstm(7),
    "linear recurrence": linear_recurrence(7, 2),
    "context set, mean": context_set(8),
    "context set, attention": context_set(8, "attention"),
    "context set, gaussians": context_set(8, "gaussians"),
    "snail": snail(16, 4),
    "snail, window shorter than what is read": snail(4, 4, num_layers=1),
    "transformer": transformer(16, 8, num_heads=2),
    "transformer, gated, in one layer": transformer(16, 8, num_layers=1, gated=True),
    "transformer, told where it is": transformer(16, 8, num_heads=2, episode_positions=True),
    "transformer, window shorter than what is read": transformer(4, 8, num_heads=2),
    "memoryless": memoryless(),
}
NUM_STEPS, NUM_TASKS = 6, 3

pytestmark = pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES.keys())


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    with jax.default_matmul_precision("highest"):
        yield


def inputs(*leading: int) -> MemoryInput:
    shape = lambda size: jax.ShapeDtypeStruct((*leading, size), jnp.float32)
    return noise_like(MemoryInput(shape(5), shape(4), shape(1)), 1, 1.0)


def params_of(memory: Memory) -> PyTree:
    return noise_like(jax.eval_shape(memory.init, jax.random.key(0), inputs()))


def carry_of(memory: Memory, *leading: int) -> PyTree:
    """A carry that was reached in three steps from the initial one, with leading axes."""
    carry, params = wide(memory.initial_carry(jax.random.key(0)), leading), params_of(memory)
    before = jax.tree.map(lambda x: 1 - x, inputs(3, *leading))
    return jax.jit(unroll_by_steps(memory.step))(params, carry, before)[0]


def parts_read(memory: Memory) -> int:
    """A set reads transitions alone, others the observation too, one where episodes begin."""
    if memory is MEMORIES["transformer, told where it is"]:
        return 3
    return 1 if memory.name == "context-set" else 2


def test_unroll_equals_steps_in_outputs_carry_and_gradients(memory: Memory) -> None:
    given = params_of(memory), carry_of(memory, NUM_TASKS), inputs(NUM_STEPS, NUM_TASKS)

    @jax.jit
    def both(*given: Any) -> Any:
        def run(unroll: Any) -> Any:
            def scalar(*given: Any) -> tuple[Array, Any]:
                result = unroll(*given)
                return squares(result), result

            value_and_gradient = jax.value_and_grad(scalar, (0, 1, 2), has_aux=True, allow_int=True)
            value, gradients = value_and_gradient(*given)
            counted = lambda leaf: jnp.ones(()) if leaf.dtype == jax.dtypes.float0 else leaf
            return value, jax.tree.map(counted, gradients)

        return run(memory.unroll), run(unroll_by_steps(memory.step))

    ((_, outputs), gradients), ((_, stepped), stepped_gradients) = both(*given)
    assert relative_error(outputs, stepped) < 1e-5
    for name, ours, theirs in zip(
        ("params", "carry", "inputs"), gradients, stepped_gradients, strict=True
    ):
        assert relative_error(ours, theirs) < 1e-5, name
    if jax.tree.leaves(given[0]):
        *others, of_inputs = gradients
        read = [*others, *of_inputs[: parts_read(memory)]]
        assert all(np.any(leaf) for leaf in jax.tree.leaves(read)), "a gradient that is 0"


def test_outputs_depend_on_no_later_input_exactly(memory: Memory) -> None:
    params, xs, carry = params_of(memory), inputs(NUM_STEPS), carry_of(memory)
    jacobian = jax.jit(jax.jacrev(lambda xs: memory.unroll(params, carry, xs)[1]))(xs)
    ago = np.subtract.outer(np.arange(NUM_STEPS), np.arange(NUM_STEPS))
    seen = (ago >= 0) & (ago < (memory.context_length or NUM_STEPS))
    for i, part in enumerate(jacobian):  # [T, M, T', D]
        size = np.abs(np.asarray(part)).sum(axis=(1, 3))
        np.testing.assert_array_equal(np.triu(size, 1), 0.0)
        if part.size:
            assert np.all((size[seen] > 0) == (i < parts_read(memory))), "what is remembered"


def test_unrolling_in_two_parts_is_unrolling_at_once(memory: Memory) -> None:
    """The carry holds all there is to know of the past."""
    params, xs, carry = params_of(memory), inputs(NUM_STEPS), carry_of(memory)

    @jax.jit
    def in_parts(params: PyTree, carry: PyTree, xs: MemoryInput) -> Any:
        carry, first = memory.unroll(params, carry, jax.tree.map(lambda x: x[:2], xs))
        carry, second = memory.unroll(params, carry, jax.tree.map(lambda x: x[2:], xs))
        return carry, jnp.concatenate([first, second])

    whole = jax.jit(memory.unroll)(params, carry, xs)
    assert relative_error(in_parts(params, carry, xs), whole) < 1e-6


def test_leading_axes_are_as_good_as_one(memory: Memory) -> None:
    params = params_of(memory)
    flat = carry_of(memory, 6), inputs(NUM_STEPS, 6)
    fold = lambda tree, axis: jax.tree.map(
        lambda x: x.reshape(*x.shape[:axis], 2, 3, *x.shape[axis + 1 :]), tree
    )
    carry, ys = jax.jit(memory.unroll)(params, *flat)
    folded = jax.jit(memory.unroll)(params, fold(flat[0], 0), fold(flat[1], 1))
    assert relative_error(folded, (fold(carry, 0), fold(ys, 1))) < 1e-6


def test_a_batch_is_its_rows(memory: Memory) -> None:
    """Leading axes, vmap and a loop over rows are one."""
    params = params_of(memory)
    rows = carry_of(memory, NUM_TASKS), inputs(NUM_TASKS)

    @jax.jit
    def three_ways(carry: PyTree, x: MemoryInput) -> Any:
        step = lambda carry, x: memory.step(params, carry, x)
        return step(carry, x), jax.vmap(step)(carry, x), jax.lax.map(lambda r: step(*r), (carry, x))

    batched, mapped, looped = three_ways(*rows)
    assert relative_error(batched, looped) < 1e-6
    assert relative_error(mapped, looped) < 1e-6


def test_the_carry_keeps_its_shapes_and_types(memory: Memory) -> None:
    params, carry = params_of(memory), memory.initial_carry(jax.random.key(2))
    after, y = jax.eval_shape(memory.step, params, carry, inputs())
    described = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    assert described(after) == described(carry)
    assert y.ndim == 1 and y.dtype == jnp.float32
    _, ys = jax.eval_shape(memory.unroll, params, carry, inputs(NUM_STEPS))
    assert ys.shape == (NUM_STEPS, *y.shape)


def test_the_initial_carry_is_that_of_one_task_and_the_same_for_the_same_key(
    memory: Memory,
) -> None:
    first, again = (memory.initial_carry(jax.random.key(seed)) for seed in (2, 2))
    assert_same(first, again)
    batch = jax.eval_shape(memory.step, params_of(memory), carry_of(memory, 5), inputs(5))[0]
    shapes = lambda tree, skip: [x.shape[skip:] for x in jax.tree.leaves(tree)]
    assert shapes(batch, 1) == shapes(first, 0)


@pytest.mark.parametrize(("num_steps", "tolerance"), [(100, 5e-6), (1000, 5e-5)])
def test_a_long_unroll_is_its_steps_and_its_gradient_is_finite(
    memory: Memory, num_steps: int, tolerance: float
) -> None:
    params, xs = params_of(memory), inputs(num_steps, 1)
    carry = wide(memory.initial_carry(jax.random.key(0)), (1,))

    @jax.jit
    def both(params: PyTree) -> Any:
        def scalar(params: PyTree) -> tuple[Array, Any]:
            result = memory.unroll(params, carry, xs)
            return squares(result[1]), result

        stepped = unroll_by_steps(memory.step)(params, carry, xs)
        return stepped, jax.value_and_grad(scalar, has_aux=True)(params)

    stepped, ((_, unrolled), gradient) = both(params)
    assert relative_error(unrolled, stepped) < tolerance
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_no_input_makes_a_fresh_memory_blow_up_gradients(memory: Memory) -> None:
    """A meta-episode begins with a blank transition, of zeros: where a norm would divide by 0."""
    blank = jax.tree.map(jnp.zeros_like, inputs())
    params = memory.init(jax.random.key(0), blank)
    carry = memory.initial_carry(jax.random.key(1))
    slope = jax.jacrev(lambda x: memory.step(params, carry, x)[1])(blank)
    assert all(np.all(np.abs(leaf) < 20) for leaf in slope)


def test_the_carry_is_of_one_size_however_long_it_has_run(memory: Memory) -> None:
    params, carry = params_of(memory), wide(memory.initial_carry(jax.random.key(0)), (2,))
    for num_steps in (1, 300):
        after, _ = jax.eval_shape(memory.unroll, params, carry, inputs(num_steps, 2))
        assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, carry)
