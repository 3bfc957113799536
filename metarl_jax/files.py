"""The files of a run's folder: written whole, never through a link, checked as they are read."""

import json
import math
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from metarl_jax.types import ConfigurationError

T = TypeVar("T")
Read = Callable[[Any], T]
"""Turns a JSON value into a Python one; raises ValueError with the words for what it expects."""

LARGEST_NUMBER = 1e300
"""The largest magnitude read from a file; a larger one would overflow in a sum."""


def require_own(*places: Path) -> None:
    """Refuses links: of somebody else's run they may lead anywhere, also to files of one's own.

    Raises:
        ConfigurationError: one is.
    """
    for place in places:
        if place.is_symlink():
            raise ConfigurationError(
                f"expected {place} to be the run's own, got a link; it would lead to what belongs "
                "elsewhere: copy that into its place."
            )


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file in one step: a reader, or who comes after a kill, sees the old or the new.

    A link in its place is replaced; what it points to is let be.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # two processes may write at once
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def reason(error: BaseException) -> str:
    """Why something failed, for a person: of a system's error its text, without the number."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


LARGEST_BYTES = 10_000_000
"""Of a file of JSON that is read."""


def read_object(place: Path) -> dict[str, Any]:
    """What a file of a run's folder holds, in which somebody else may have put anything.

    Raises:
        ConfigurationError: it is no JSON object, no plain file, or larger than ten megabytes.
    """
    try:
        if place.is_symlink() or (place.exists() and not place.is_file()):
            raise OSError("it is not a plain file")
        if place.stat().st_size > LARGEST_BYTES:
            raise OSError(f"it has more than {LARGEST_BYTES:,} bytes")
        found = json.loads(place.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"expected a {place.name} in the folder of a run, as `metarl train` writes it, got "
            f"{place.parent} ({reason(error)}); give another folder."
        ) from error
    return found


def jsonable(value: Any) -> Any:
    """The value with lists for tuples, and null for every number that JSON does not have."""
    if isinstance(value, Mapping):
        return {name: jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: Any) -> str:
    """The value as indented JSON with a newline at its end; see `jsonable`."""
    return json.dumps(jsonable(value), indent=2) + "\n"


class JsonFields:
    """The fields of a JSON object, each taken once and checked.

    Args:
        found: what `json.loads` returned; anything but an object is refused.
        where: the file or the part of it, for messages.
        mend: what to do about a bad field, for messages.

    Raises:
        ConfigurationError: `found` is not an object.
    """

    def __init__(self, found: Any, where: str, mend: str) -> None:
        if not isinstance(found, Mapping):
            raise ConfigurationError(
                f"{where}: expected a JSON object, got {reprlib.repr(found)}; {mend}."
            )
        self._left, self._where, self._mend = dict(found), where, mend

    def take(self, name: str, read: Read[T], *default: T) -> T:
        """The field of this name.

        Args:
            name: of the field.
            read: checks and converts its value.
            default: at most one, for a field that may be missing.

        Raises:
            ConfigurationError: the field is missing and has no default, or is of another type.
        """
        if name not in self._left:
            if default:
                return default[0]
            raise ConfigurationError(
                f"{self._where}: expected the field {name!r}, got none; {self._mend}."
            )
        value = self._left.pop(name)
        try:
            return read(value)
        except ValueError as error:
            raise ConfigurationError(
                f"{self._where}: expected {name!r} to be {error}, got {reprlib.repr(value)}; "
                f"{self._mend}."
            ) from None

    def drop(self, *names: str) -> None:
        """Passes over fields that older files have and nobody reads."""
        for name in names:
            self._left.pop(name, None)

    def names(self) -> list[str]:
        """The names of the fields that have not been taken."""
        return list(self._left)

    def end(self) -> None:
        """Refuses fields that have not been taken.

        Raises:
            ConfigurationError: there are some.
        """
        if self._left:
            raise ConfigurationError(
                f"{self._where}: expected no other fields, got {', '.join(sorted(self._left))}; "
                f"{self._mend}."
            )


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("a string")
    return value


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def whole_number(value: Any) -> int:
    """An integer."""
    if type(value) is not int or abs(value) > LARGEST_NUMBER:
        raise ValueError("a whole number")
    return value


def number(value: Any) -> float:
    """A number; null is NaN, which JSON does not have."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("a number or null")
    if abs(value) > LARGEST_NUMBER:
        raise ValueError(f"a number of at most {LARGEST_NUMBER:g}")
    return value


def optional(read: Read[T]) -> Read[T | None]:
    """What `read` reads, or null as None."""
    return lambda value: None if value is None else read(value)


def many(read: Read[T], at_least: int = 0) -> Read[tuple[T, ...]]:
    """A list of what `read` reads, of some length at least."""

    def read_all(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) < at_least:
            raise ValueError("a list" + f" of at least {at_least}" * (at_least > 0))
        try:
            return tuple(map(read, value))
        except ValueError as error:
            raise ValueError(f"a list, each item {error}") from None

    return read_all


def mapping_of(read: Read[T]) -> Read[dict[str, T]]:
    """An object whose every value `read` reads."""

    def read_all(value: Any) -> dict[str, T]:
        if not isinstance(value, dict):
            raise ValueError("an object")
        try:
            return {name: read(item) for name, item in value.items()}
        except ValueError as error:
            raise ValueError(f"an object, each value {error}") from None

    return read_all


REWRITE = (
    "resume the run once (`metarl train --resume RUN`, or resume=True from Python), which writes "
    "the file again"
)
"""What mends a file that every run writes when it begins."""


def read_with_format(place: Path, formats: Sequence[int]) -> tuple[int, JsonFields]:
    """A file that a run writes when it begins: its format's number, and its other fields.

    Args:
        place: of the file, in the run's folder.
        formats: that can be read.

    Raises:
        ConfigurationError: there is none, as in the folders of older versions, or it is damaged or
            of another format.
    """
    if not place.exists():
        raise ConfigurationError(
            f"expected {place.name} in {place.parent}, got none: the run has not begun, or an "
            f"older version made it; {REWRITE}."
        )
    fields = JsonFields(read_object(place), str(place), REWRITE)
    written_as = fields.take("format", whole_number)
    if written_as not in formats:
        raise ConfigurationError(
            f"{place}: expected format {max(formats)}, got {written_as}; a newer version wrote it: "
            "install that one."
        )
    return written_as, fields
