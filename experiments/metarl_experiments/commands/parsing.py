"""Flags to dataclasses, the same way in every command."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

Options = TypeVar("Options")
LONGEST = 30
"""Digits of a whole number on the command line; 1e999999999 would fill the memory."""
_RULES = ConstructorRegistry()


def parse(kind: type[Options], prog: str, arguments: Sequence[str], **options: Any) -> Options:
    """Reads the flags of a command; every whole number may be written as `whole_number` reads it.

    Exits with code 2 and a message where a flag or a value is off, and with 0 after `--help`.

    Args:
        kind: a dataclass whose fields are the flags and whose docstring describes them.
        prog: the command, as it is typed.
        arguments: those after the command.
        options: further arguments of `tyro.cli`.
    """
    return tyro.cli(kind, prog=prog, args=list(arguments), registry=_RULES, **options)


def whole_number(text: str) -> int:
    """A whole number as people write it: 300, 1_000_000, 1e6 or 2.5e6.

    Raises:
        ValueError: it is not a whole number, or has more than thirty digits.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    is_short = number.is_finite() and number.adjusted() < LONGEST
    if not is_short or number != number.to_integral_value():
        raise ValueError(f"expected a whole number such as 300, 1_000_000 or 1e6, got {text!r}.")
    return int(number)


@_RULES.primitive_rule
def _read_whole_numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda given: whole_number(given[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )
