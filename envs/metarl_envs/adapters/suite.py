"""What all adapters share: the import of a suite, worlds told apart by a key, words for people."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_envs.adapters.vary import parameter_values
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import Box, Leaf, Space, read_space, with_leaves
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

EPISODE_LENGTH, NUM_EPISODES = 100, 4
"""Of a meta-episode where nothing else is asked for."""


def import_suite(module: str, extra: str) -> ModuleType:
    """Imports a suite, which only its adapter needs.

    Args:
        module: to import.
        extra: of `metarl-jax`, which installs it.

    Raises:
        ConfigurationError: it is not installed, or does not go with what is.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever a package raises that was written for other versions
        raise ConfigurationError(
            f"expected the package {module!r} to be installed, got {type(error).__name__}: "
            f"{error}; pip install 'metarl-jax[{extra}]'"
        ) from error


def family_of(
    adapter: Callable[..., TaskDistribution], environment: str, parameters: Any = None
) -> Callable[..., TaskDistribution]:
    """An adapter as a task family of one environment, whose arguments the command line can give.

    Args:
        adapter: takes the environment's name and keyword arguments. Those with plain defaults are
            the family's; `vary` becomes a record of the parameters, each a text.
        environment: its name.
        parameters: those that can be varied, a dataclass or dict of numbers; None for none.
    """

    def family(**arguments: Any) -> TaskDistribution:
        """Set below to the adapter's."""
        return adapter(environment, **arguments)

    plain = [
        p.replace(annotation=type(p.default))
        for p in list(inspect.signature(adapter).parameters.values())[1:]
        if isinstance(p.default, bool | int | float | str | tuple)
    ]
    if parameters is not None:
        options, keyword = _vary_options(parameters), inspect.Parameter.KEYWORD_ONLY
        vary = inspect.Parameter("vary", keyword, default=options, annotation=type(options))
        plain.append(vary)
    family.__signature__ = inspect.Signature(plain)  # type: ignore[attr-defined]
    family.__doc__ = adapter.__doc__
    return family


def _vary_options(parameters: Any) -> Any:
    values = parameter_values(parameters)
    fields = [(name, str, dataclasses.field(default="")) for name in values]
    kind = dataclasses.make_dataclass("Vary", fields, frozen=True, kw_only=True)
    lines = [
        f"    {n}: hidden, LOW,HIGH or A,B,C...; {x:g} if not given." for n, x in values.items()
    ]
    kind.__doc__ = "\n".join(["Parameters to hide.", "", "Attributes:", *lines])
    return kind()


def world_of(key: Key) -> Array:
    """A key as plain numbers, so that a world that a suite generates from a key can be a task."""
    return jax.random.key_data(key)


def key_of(world: Array) -> Key:
    """The key of a world; undoes `world_of`."""
    return jax.random.wrap_key_data(world)


def flat_vector(tree: PyTree) -> Array:
    """All numbers of a tree in one float32 vector, [C]."""
    return jnp.concatenate([jnp.ravel(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves(tree)])


def unbounded(found: Any) -> Space:
    """A suite's space of observations, without the bounds of its floats: few suites keep them."""

    def leaf(space: Leaf) -> Leaf:
        if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
            return Box(-np.inf, np.inf, space.shape)
        return space

    return with_leaves(leaf, read_space(found))


def nothing_told(task: Any) -> Array:
    """A description that tells nothing, for tasks that no short vector describes."""
    del task
    return jnp.zeros((1,), jnp.float32)
