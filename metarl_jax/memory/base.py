"""The memory: f_θ, a sequence model as a record of pure functions.

A memory has no reset: it cannot be wiped between the episodes of a task by mistake. A new carry is
made only where a meta-episode begins.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from metarl_jax.types import Array, Key, PyTree

Carry = Any


class MemoryInput(NamedTuple):
    """What a memory reads at a step: what the policy has embedded, and where episodes begin."""

    transition: Array  # [..., D] the transition that led here
    observation: Array  # [..., D'] where that is
    episode_start: Array  # [..., 1] float32, 1 where an episode begins


class Memory(NamedTuple):
    """A memory, over any leading axes.

    Laws, tested over every memory: `unroll` equals repeated `step`, in outputs, carries and
    gradients; ∂y_t/∂x_{t+k} is exactly 0; the carry's size does not grow.

    Attributes:
        name: for people and configurations.
        init: (key, x) -> params; x is one MemoryInput, for its shapes.
        initial_carry: key -> carry of one task, without leading axes. The key is for memories that
            draw at random (posterior sampling); most ignore it.
        step: (params, carry, x) -> (carry, y), y of shape [..., M].
        unroll: (params, carry, xs) -> (carry, ys), xs with a leading time axis [T, ..., D].
        parallel: whether `unroll` goes over time at once: the algorithm may then find it faster to
            roll the policy out first and to unroll it again for the loss.
        context_length: steps that each of its layers looks back, its own among them; None: all.
        made_by: the name of the function of `metarl_jax.memory` that made it and its arguments, so
            that a run's folder can say how to make it again; None for a memory of your own.
    """

    name: str
    init: Callable[[Key, MemoryInput], PyTree]
    initial_carry: Callable[[Key], Carry]
    step: Callable[[PyTree, Carry, MemoryInput], tuple[Carry, Array]]
    unroll: Callable[[PyTree, Carry, MemoryInput], tuple[Carry, Array]]
    parallel: bool = False
    context_length: int | None = None
    made_by: tuple[str, tuple[tuple[str, Any], ...]] | None = None


Arguments = ParamSpec("Arguments")


def recorded(make: Callable[Arguments, Memory]) -> Callable[Arguments, Memory]:
    """A constructor of memories, each of which knows its arguments: see `Memory.made_by`."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def recording(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Memory:
        memory = make(*args, **kwargs)
        if memory.made_by is not None:  # one layer of a stack is the memory itself
            return memory
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        return memory._replace(made_by=(make.__name__, tuple(given.arguments.items())))

    return recording


def unroll_by_steps(
    step: Callable[[PyTree, Carry, Any], tuple[Carry, Any]],
) -> Callable[[PyTree, Carry, Any], tuple[Carry, Any]]:
    """The `unroll` that every `step` has: a scan over time."""

    def unroll(params: PyTree, carry: Carry, xs: Any) -> tuple[Carry, Any]:
        return jax.lax.scan(lambda carry, x: step(params, carry, x), carry, xs)

    return unroll


def first_input(x: MemoryInput) -> MemoryInput:
    """What one task's memory reads, of many: for parameters, to which leading axes are nothing."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[-1:], leaf.dtype), x)
