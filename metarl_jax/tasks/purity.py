"""Whether a function that jax traces is pure: its arguments alone decide what it gives.

What Python does on the side happens once, when the function is traced, and never again: a counter
that stays at 1, a random number drawn once for all tasks. Traced twice, such a function shows it.
"""

import re
from collections.abc import Callable, Iterator, Sized
from typing import Any

import jax
import numpy as np
from jax.extend import core

from metarl_jax.trees import without_key
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
    changed = (name for name in after if not _same(after[name], before.get(name)))
    if first := next(changed, None):
        return f"changes self.{first}"
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
    return without_key(constant) if isinstance(constant, jax.Array) else constant


def _attributes(owner: Any) -> dict[str, tuple[Any, int]]:
    """Each attribute, and how many things it holds."""
    return {name: (value, _length(value)) for name, value in getattr(owner, "__dict__", {}).items()}


def _length(value: Any) -> int:
    try:
        return len(value) if isinstance(value, Sized) else 0
    except TypeError:  # of an array without axes
        return 0


def _same(after: tuple[Any, int], before: tuple[Any, int] | None) -> bool:
    return before is not None and after[0] is before[0] and after[1] == before[1]


def programs_of(eqn: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """The programs that an operation of a traced program is made of: a scan's step, for one."""
    for parameter in eqn.params.values():
        for x in parameter if isinstance(parameter, (tuple, list)) else (parameter,):
            if isinstance(x, core.ClosedJaxpr):
                yield x.jaxpr
            elif isinstance(x, core.Jaxpr):
                yield x
