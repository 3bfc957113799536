"""What a step of a network costs, counted from its layers; what the machine does at most."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metarl_jax.policy import Policy
from metarl_jax.sharding import REPLICATED, SPLIT, Devices
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


def count_flops(policy: Policy) -> StepFlops:
    """Counts the products that a step cannot do without.

    A layer of a × b weights takes 2ab operations forward, 2ab for the gradient of its weights and
    2ab for that of its input. The embeddings read what does not depend on the parameters: theirs
    has no gradient. Each product counts once, however often a program does it: what is computed
    again is no work done. Element-wise operations are not counted.

    Args:
        policy: with weights `embedding`, `memory` and `heads`.
    """
    weights = jax.eval_shape(policy.init, jax.random.key(0)).weights
    products = {name: _forward_flops(layers) for name, layers in weights.items()}
    forward = sum(products.values())
    return StepFlops(forward, 3 * forward - products["embedding"])


def _forward_flops(layers: PyTree) -> int:
    kernels = [leaf.shape for leaf in jax.tree.leaves(layers) if len(leaf.shape) == 2]
    return sum(2 * rows * columns for rows, columns in kernels)


class Peak(NamedTuple):
    """The largest product's speed is taken for the machine's.

    Attributes:
        run: takes it once, on every device at the same time.
        flops: of all devices together.
    """

    run: Callable[[], object]
    flops: float


def peak_product(devices: Devices, size: int = PEAK_SIZE) -> Peak:
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
    program = jax.jit(devices.run(products, (SPLIT, REPLICATED), SPLIT)).lower(a, b).compile()
    a, b = (jax.device_put(x, s) for x, s in zip((a, b), program.input_shardings[0], strict=True))

    def run() -> None:
        jax.block_until_ready(program(a, b))

    run()
    return Peak(run, devices.count * chain * 2.0 * size**3)
