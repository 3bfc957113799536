"""Checks of arguments, made before anything is compiled."""

import dataclasses
import difflib
import math
import numbers
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from metarl_jax.types import ConfigurationError

LARGEST_REAL = 3e38  # of float32
LONGEST = 1_000
NEAR = 0.65
"""The least similarity, from 0 to 1, of a name that is suggested; see `difflib`."""
MOST_SUGGESTED = 3
_KINDS: Mapping[type, tuple[type, str, str]] = {
    int: (numbers.Integral, "a whole number", "whole numbers"),
    float: (numbers.Real, "a number", "numbers"),
    bool: (bool, "true or false", "true or false"),
}
"""What a field of this type holds, one of it and several, for a person."""


def check_fields(config: Any) -> None:
    """Refuses a frozen dataclass of settings that holds what no flag lets through.

    A configuration that is read from a file may hold anything. Whole numbers are at least `least`
    and at most `most` of a field's metadata; by default 1, and what int32 holds.

    Args:
        config: of fields of type bool, int, float, str Literals, tuples of these, or None.

    Raises:
        ConfigurationError: names the field, what it may be and what it is.
    """
    types = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, expected = getattr(config, field.name), types[field.name]
        options = [t for t in get_args(expected) if t is not type(None)]
        if type(None) in get_args(expected):
            if value is None:
                continue
            expected = options[0]
        bounds = (field.metadata.get("least", 1), field.metadata.get("most", 2**31 - 1))
        if get_origin(expected) is Literal:
            if value not in get_args(expected):
                choices = ", ".join(get_args(expected))
                raise ConfigurationError(
                    f"{field.name} must be one of {choices}, got {reprlib.repr(value)}."
                )
        elif get_origin(expected) is tuple:
            _check_elements(field.name, get_args(expected)[0], value, bounds)
        else:
            _check_element(field.name, _KINDS[expected][:2], value, value, bounds)


def _check_elements(name: str, kind: type, value: Any, bounds: tuple[int, int]) -> None:
    accepted, _, several = _KINDS[kind]
    if not isinstance(value, tuple | list):
        raise ConfigurationError(f"{name} must be {several}, got {reprlib.repr(value)}.")
    if len(value) > LONGEST:
        raise ConfigurationError(
            f"{name} must be at most {LONGEST:,} {several}, got {len(value):,}; leave some out."
        )
    for element in value:
        _check_element(name, (accepted, several), element, value, bounds)


def _check_element(
    name: str, kind: tuple[type, str], element: Any, value: Any, bounds: tuple[int, int]
) -> None:
    accepted, described = kind
    if not isinstance(element, accepted) or isinstance(element, bool) != (accepted is bool):
        raise ConfigurationError(f"{name} must be {described}, got {reprlib.repr(value)}.")
    if accepted is numbers.Real and not abs(element) <= LARGEST_REAL:
        raise ConfigurationError(f"{name} must be finite, got {reprlib.repr(element)}.")
    if accepted is numbers.Integral:
        _require_between(name, element, *bounds)


def bounded(default: Any, *, least: int = 1, most: int = 2**31 - 1) -> Any:
    """A dataclass field of whole numbers with bounds, which `check_fields` holds them to.

    Args:
        default: its default.
        least: the smallest that is allowed.
        most: the largest. A larger one might end in no error, but in hours of tracing.
    """
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


def require_positive(
    name: str, value: int, most: float = math.inf, *, usual: str | None = None
) -> None:
    """Refuses a count or a size that is less than 1, or too large.

    Args:
        name: of the argument, or what it is for people: "a GRU's hidden size".
        value: as given.
        most: the largest that is allowed.
        usual: what it is most often, for people.

    Raises:
        ConfigurationError: it is less than 1, or more than the most.
    """
    _require_between(name, value, 1, most, f"{usual} is usual" if usual else None)


def _require_between(
    name: str, value: int, least: int, most: float, advice: str | None = None
) -> None:
    if value < least:
        advice = advice or "give a larger number"
        raise ConfigurationError(f"{name} must be at least {least}, got {value}; {advice}.")
    if value > most:
        raise ConfigurationError(
            f"{name} must be at most {most}, got {reprlib.repr(value)}; give a smaller one."
        )


def require_seed(value: int) -> None:
    """Raises ConfigurationError unless a key can be made of value."""
    if not 0 <= value < 2**32:
        raise ConfigurationError(f"seed must be a whole number from 0 to {2**32 - 1}, got {value}.")


def check_whole_number(
    family: str, name: str, value: int, *, at_least: int, at_most: int | None = None
) -> None:
    """Refuses what is not a whole number of at least `at_least`, and at most `at_most` if given.

    Raises:
        ConfigurationError: says which argument of which family, and what it may be.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < at_least or (at_most is not None and value > at_most):
        bounds = f"at least {at_least}" + ("" if at_most is None else f" and at most {at_most}")
        raise ConfigurationError(
            f"{family}: {name} must be a whole number of {bounds}, got {reprlib.repr(value)}; "
            f"choose another {name}, for instance {at_least}."
        )


def check_number(family: str, name: str, value: float, *, at_least: float, at_most: float) -> None:
    """Refuses what is not a number between `at_least` and `at_most` (both allowed).

    Raises:
        ConfigurationError: says which argument of which family, and what it may be.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or math.isnan(value) or not at_least <= value <= at_most:
        raise ConfigurationError(
            f"{family}: {name} must be a number from {at_least} to {at_most}, got "
            f"{reprlib.repr(value)}; choose {name} within these."
        )


def check_choice(family: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuses what is not one of `choices`.

    Raises:
        ConfigurationError: lists the choices.
    """
    if value not in choices:
        raise ConfigurationError(
            f"{family}: {name} must be one of {', '.join(choices)}, got "
            f"{reprlib.repr(value)}; take one."
        )


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to say of a name that is not known: a near one, if there is one.

    Args:
        name: as given.
        known: the names there are.
        otherwise: what to say if none of them is near.

    Returns:
        "did you mean ...?", or `otherwise`.
    """
    near = difflib.get_close_matches(name, known, n=MOST_SUGGESTED, cutoff=NEAR)
    return f"did you mean {' or '.join(near)}?" if near else otherwise
