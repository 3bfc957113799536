"""What a step of a network costs, counted in its products; what the machine does at most."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from metarl_jax.parallel.sharding import REPLICATED, SPLIT, DataParallel
from metarl_jax.policy.policy import Policy, blank_experience
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.purity import programs_of
from metarl_jax.types import PyTree

PEAK_SIZE = 2048
"""Rows and columns of the product that sets the peak."""


class StepFlops(NamedTuple):
    """Floating-point operations of an environment step, in matrix products alone.

    Attributes:
        forward: the policy's step.
        update: that, and its share of the gradient.
    """

    forward: int
    update: int


def count_flops(policy: Policy, tasks: TaskDistribution) -> StepFlops:
    """Counts the products of a step, and of its share of the gradient of a whole meta-episode.

    They are those of the traced programs: a layer of a × b weights takes 2ab operations forward,
    2ab for the gradient of its weights and 2ab for that of its input; an experience needs none.
    Attention is counted as it is taken, with the steps that its mask leaves out; where it acts it
    is a sum of products. Each product counts once: a rollout before the unroll, and what is
    computed again, is no work done. Element-wise operations are not counted.

    Args:
        policy: any.
        tasks: it acts in, for a meta-episode's length.
    """
    length, experience = tasks.max_steps, blank_experience(tasks.specification, policy.contextual)
    params = jax.eval_shape(policy.init, jax.random.key(0))
    carry = jax.eval_shape(policy.initial_carry, jax.random.key(0))
    whole = jax.tree.map(lambda x: jnp.broadcast_to(x, (length, *x.shape)), experience)

    def total(weights: PyTree, carry: PyTree) -> jax.Array:
        _, outputs = policy.unroll(params.replace(weights=weights), carry, whole)
        return sum(map(jnp.sum, jax.tree.leaves(outputs)), jnp.zeros(()))

    forward = jax.make_jaxpr(policy.step)(params, carry, experience)
    gradient = jax.make_jaxpr(jax.grad(total))(params.weights, carry)
    return StepFlops(
        _flops(forward.jaxpr) + _flops_of_sums(forward.jaxpr), _flops(gradient.jaxpr) // length
    )


def _flops(program: core.Jaxpr) -> int:
    """Of all products of a traced program, those of a scan once for each of its steps."""
    total = 0
    for operation in program.eqns:
        if operation.primitive.name == "dot_general":
            (contracted, _), _ = operation.params["dimension_numbers"]
            rows: Any = operation.invars[0].aval
            columns: Any = operation.outvars[0].aval
            total += 2 * math.prod(columns.shape) * math.prod(rows.shape[i] for i in contracted)
        times = operation.params.get("length", 1) if operation.primitive.name == "scan" else 1
        total += times * sum(map(_flops, programs_of(operation)))
    return total


def _flops_of_sums(program: core.Jaxpr) -> int:
    """Of all sums over products of two arrays, element by element."""
    products, total = set[Any](), 0
    for operation in program.eqns:
        name, operands = operation.primitive.name, operation.invars
        if name == "mul" and operands[0] is not operands[1]:
            products |= set(operation.outvars)
        if name == "reduce_sum" and operands[0] in products:
            summed: Any = operands[0].aval
            total += 2 * math.prod(summed.shape)
        total += sum(map(_flops_of_sums, programs_of(operation)))
    return total


class Peak(NamedTuple):
    """The largest product's speed is taken for the machine's.

    Attributes:
        run: takes it once, on every device at the same time.
        flops: of all devices together.
    """

    run: Callable[[], object]
    flops: float


def peak_product(devices: DataParallel, size: int = PEAK_SIZE) -> Peak:
    """Products of size × size matrices of float32, rounded nowhere, as the network's of "f32".

    On an accelerator a product is over before the next program is there: a run takes many, each of
    the one before.

    Args:
        devices: that shall be busy with it at once.
        size: rows and columns.
    """
    chain = 1 if jax.default_backend() == "cpu" else 32

    def products(a: jax.Array, b: jax.Array) -> jax.Array:
        for _ in range(chain):
            a = jnp.matmul(a, b, precision="float32")
        return a

    a = jnp.ones((devices.count * size, size), jnp.float32)
    b = jnp.full((size, size), 1 / size, jnp.float32)  # a product of ones and this is ones again
    program = jax.jit(devices.shard_map(products, (SPLIT, REPLICATED), SPLIT)).lower(a, b).compile()
    a, b = (jax.device_put(x, s) for x, s in zip((a, b), program.input_shardings[0], strict=True))

    def run() -> None:
        jax.block_until_ready(program(a, b))

    run()
    return Peak(run, devices.count * chain * 2.0 * size**3)
