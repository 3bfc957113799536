"""Memories in layers, each reading what the one below it has made of the transitions.

x^1 = τ,   y^1 = f^1(x^1, o)
y^l = y^{l-1} + f^l(y^{l-1}, o)        l = 2 … L
"""

from typing import Any

import jax

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput, first_input, recorded
from metarl_jax.types import Array, Key, PyTree


@recorded
def stacked(memory: Memory, num_layers: int) -> Memory:
    """The memory in layers with residuals; y is that of the last, and of one size in each.

    A context set in layers is no set any more: the second would see the first grow.

    Args:
        memory: of each layer; its parameters and carry are each layer's own.
        num_layers: L; 1 is the memory itself.

    Raises:
        ConfigurationError: num_layers is less than 1.
    """
    require_positive("the number of a memory's layers", num_layers, usual="1 to 4")
    if num_layers == 1:
        return memory

    def init(key: Key, x: MemoryInput) -> PyTree:
        params, x = [], first_input(x)
        for layer_key in jax.random.split(key, num_layers):
            init_key, carry_key = jax.random.split(layer_key)
            params.append(memory.init(init_key, x))
            y = memory.step(params[-1], memory.initial_carry(carry_key), x)[1]
            x = x._replace(transition=y)
        return tuple(params)

    def initial_carry(key: Key) -> PyTree:
        return tuple(memory.initial_carry(k) for k in jax.random.split(key, num_layers))

    def through(run: Any, params: PyTree, carries: PyTree, x: MemoryInput) -> tuple[PyTree, Array]:
        after = []
        for i, (layer, carry) in enumerate(zip(params, carries, strict=True)):
            carry, y = run(layer, carry, x)
            x = x._replace(transition=y if i == 0 else x.transition + y)
            after.append(carry)
        return tuple(after), x.transition

    return memory._replace(
        name=f"{memory.name} × {num_layers}",
        init=init,
        initial_carry=initial_carry,
        step=lambda *given: through(memory.step, *given),
        unroll=lambda *given: through(memory.unroll, *given),
    )
