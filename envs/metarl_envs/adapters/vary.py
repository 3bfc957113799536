"""Which parameters of an environment are hidden, and how they are drawn: p(M) from a few ranges."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checks import suggestion
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

Values = tuple[float, float] | Sequence[Any] | str
"""A range (low, high) as a tuple, or a list of values; as text "5,15" is a range, and "5,10,15" and
"[5,15]" are lists."""

_DTYPES: Mapping[str, Any] = {"f": np.dtype(np.float32), "i": np.dtype(np.int32)}


class Varied(NamedTuple):
    """A distribution of parameters, and the vector that tells one draw from another."""

    sample: Callable[[Key], PyTree]  # key -> the parameters, the varied ones drawn
    describe: Callable[[PyTree], Array]  # parameters -> [C] float32, each in [-1, 1] of its range


def vary_parameters(
    name: str, parameters: Any, vary: Mapping[str, Values], fixed: Sequence[str] = ()
) -> Varied:
    """Draws each named parameter on its own; the others keep their values.

    A range is drawn from uniformly, whole numbers with both ends; of a list each value is as
    probable as the next.

    Args:
        name: of the environment, for messages.
        parameters: a dataclass of numbers, such as gymnax's `EnvParams`, or a dict of them.
        vary: parameter -> its range or values; an empty text leaves it as it is.
        fixed: parameters that cannot be varied.

    Raises:
        ConfigurationError: there is no such parameter, it is no number, or its values are no range
            and no list.

    Example:
        >>> varied = vary_parameters("pole", {"gravity": 9.8, "length": 0.5}, {"gravity": (5, 15)})
        >>> sorted(varied.sample(jax.random.key(0)))
        ['gravity', 'length']
    """
    own = jax.tree.map(_strong, parameters)
    known = {n: x for n, x in parameter_values(parameters).items() if n not in fixed}
    draws = {
        field: _draw(name, field, _known(name, field, known), values)
        for field, values in sorted(vary.items())
        if not isinstance(values, str) or values
    }

    def sample(key: Key) -> PyTree:
        keys = jax.random.split(key, max(1, len(draws)))
        drawn = {f: draw.sample(k) for (f, draw), k in zip(draws.items(), keys, strict=False)}
        return _replace(own, drawn)

    def describe(task: PyTree) -> Array:
        if not draws:
            return jnp.zeros((1,), jnp.float32)
        told = [(_get(task, f) - draw.center) / draw.half for f, draw in draws.items()]
        return jnp.stack([jnp.asarray(x, jnp.float32) for x in told])

    return Varied(sample, describe)


class _Draw(NamedTuple):
    sample: Callable[[Key], Array]
    center: float
    half: float


def _draw(name: str, field: str, default: np.ndarray, values: Values) -> _Draw:
    dtype = _DTYPES.get(default.dtype.kind, default.dtype)
    listed = _listed(name, field, values)
    as_list = isinstance(values, list) or "[" in values or default.dtype.kind == "b"
    is_range = len(listed) == 2 and not as_list
    numbers = np.asarray(listed, float)
    if default.dtype.kind != "f" and (numbers != np.round(numbers)).any():
        raise ConfigurationError(
            f"{name}: expected whole numbers for {field}, whose default is {default}, got "
            f"{values!r}."
        )
    low, high = float(numbers.min()), float(numbers.max())
    if is_range and listed[0] > listed[1]:
        raise ConfigurationError(
            f"{name}: expected a range from low to high for {field}, got {values!r}; swap them."
        )
    if not is_range:
        sample = lambda key: jax.random.choice(key, jnp.asarray(numbers, dtype))
    elif default.dtype.kind == "f":
        sample = lambda key: jax.random.uniform(key, (), dtype, low, high)
    else:
        sample = lambda key: jax.random.randint(key, (), int(low), int(high) + 1, dtype)
    return _Draw(sample, (low + high) / 2, max((high - low) / 2, 1e-6))


def _listed(name: str, field: str, values: Values) -> list[float]:
    try:
        parts: Any = values.strip("[]").split(",") if isinstance(values, str) else values
        words = {"true": 1.0, "false": 0.0}
        listed = [words.get(str(part).strip().lower()) for part in parts]
        listed = [float(p) if x is None else x for p, x in zip(parts, listed, strict=True)]
        if len(listed) < 2 or not np.isfinite(listed).all():
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{name}: expected LOW,HIGH or a list of at least two values for {field}, got "
            f"{values!r}; write `--vary.{field} 5,15`, or vary={{{field!r}: (5, 15)}} in Python."
        ) from None
    return listed


def parameter_values(parameters: Any) -> dict[str, np.ndarray]:
    """The parameters that can be varied, which are one number each, and their values.

    Args:
        parameters: a dataclass or a dict.
    """
    if not isinstance(parameters, Mapping):
        parameters = {f.name: getattr(parameters, f.name) for f in dataclasses.fields(parameters)}
    return {name: np.asarray(x) for name, x in parameters.items() if _is_number(x)}


def _known(name: str, field: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
    if field not in values:
        hint = suggestion(field, values, f"it has {', '.join(values) or 'none'}.")
        raise ConfigurationError(f"{name}: expected a parameter to vary, got {field!r}; {hint}")
    return values[field]


def _is_number(value: Any) -> bool:
    return np.shape(value) == () and np.asarray(value).dtype.kind in "bif"


def _strong(x: Any) -> Array:
    dtype = np.asarray(x).dtype
    return jnp.asarray(x, _DTYPES.get(dtype.kind, dtype))


def _get(parameters: Any, name: str) -> Any:
    return parameters[name] if isinstance(parameters, Mapping) else getattr(parameters, name)


def _replace(parameters: Any, drawn: Mapping[str, Any]) -> Any:
    if isinstance(parameters, Mapping):
        return dict(parameters) | dict(drawn)
    return dataclasses.replace(parameters, **drawn)
