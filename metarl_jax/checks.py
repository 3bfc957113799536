"""Checks of arguments, made before anything is compiled."""

import math
import reprlib

from metarl_jax.types import ConfigurationError


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
    if value < 1:
        advice = f"{usual} is usual" if usual else "give a larger number"
        raise ConfigurationError(f"{name} must be at least 1, got {value}; {advice}.")
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
