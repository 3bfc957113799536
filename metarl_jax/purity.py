"""Whether a function that jax traces is pure: its arguments alone decide what it gives.

What Python does on the side happens once, when the function is traced, and never again: a counter
that stays at 1, a random number drawn once for all tasks. Traced twice, such a function shows it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core

from metarl_jax.footprint import programs_of
from metarl_jax.types import PyTree

ADDRESS = re.compile(r"0x[0-9a-f]+")


def impurity(function: Callable[..., Any], arguments: tuple[PyTree, ...], owner: Any) -> str | None:
    """What is impure about a function, None if nothing is seen.

    Args:
        function: traced twice.
        arguments: its own, or their shapes.
        owner: the object it may be a method of, whose attributes it must leave alone.

    Returns:
        For a person, after "the function ".
    """
    before = _attributes(owner)
    programs = [_program(function, arguments) for _ in range(2)]
    after = _attributes(owner)
    if changed := [name for name in after if after[name] != before.get(name)]:
        return f"changes self.{changed[0]}"
    if programs[0] != programs[1]:
        return "is another computation the second time it is traced"
    return None


def _program(function: Callable[..., Any], arguments: tuple[PyTree, ...]) -> tuple[Any, ...]:
    """The traced program as text and constants, to be compared."""
    # A function of its own each time, or a second trace would be the first one out of a cache.
    traced = jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)
    constants = [np.asarray(_data(x)).tobytes() for x in (*traced.consts, *_inner(traced.jaxpr))]
    return ADDRESS.sub("", str(traced)), tuple(constants)


def _inner(jaxpr: core.Jaxpr) -> Iterator[Any]:
    """The constants of the programs that a program is made of."""
    for eqn in jaxpr.eqns:
        for parameter in eqn.params.values():
            if isinstance(parameter, core.ClosedJaxpr):
                yield from parameter.consts
        for program in programs_of(eqn):
            yield from _inner(program)


def _data(constant: Any) -> Any:
    is_key = jax.dtypes.issubdtype(getattr(constant, "dtype", None), jax.dtypes.prng_key)
    return jax.random.key_data(constant) if is_key else constant


def _attributes(owner: Any) -> dict[str, tuple[int, int]]:
    """Of each attribute which object it is, and how many things it holds."""
    return {
        name: (id(value), len(value) if hasattr(value, "__len__") else 0)
        for name, value in getattr(owner, "__dict__", {}).items()
    }
