"""Code of a user's own by its place: `FILE.py:NAME` or `MODULE:NAME`."""

import functools
import importlib
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from metarl_jax.checks import suggestion
from metarl_jax.types import ConfigurationError


def load_object(place: str) -> Any:
    """Imports what a place names.

    Args:
        place: `FILE.py:NAME` or `MODULE:NAME`.

    Raises:
        ConfigurationError: there is no such file, module or name, or it cannot be imported.
    """
    holder, _, name = place.rpartition(":")
    module = load_module(holder)
    if not hasattr(module, name):
        listed = f"`metarl check {holder}` lists what it holds."
        otherwise = listed if holder.endswith(".py") else "check the name after the colon."
        hint = suggestion(name, public_names(module), otherwise)
        raise ConfigurationError(f"expected in {holder} a name {name!r}, got none; {hint}")
    return getattr(module, name)


def load_module(holder: str) -> ModuleType:
    """Imports a file, whose name ends in .py, or a module.

    Raises:
        ConfigurationError: there is none, or it cannot be imported.
    """
    return _import_file(Path(holder)) if holder.endswith(".py") else _import_module(holder)


def public_names(module: ModuleType) -> list[str]:
    """The names that a module defines itself, in the order of the file."""

    def is_own(value: Any) -> bool:
        if isinstance(value, ModuleType):
            return False
        is_named = isinstance(value, type) or inspect.isfunction(value)
        return not is_named or value.__module__ == module.__name__

    return [name for name, x in vars(module).items() if not name.startswith("_") and is_own(x)]


def return_type(function: Callable[..., Any]) -> str:
    """The name of the type that a function says it returns; "" if it says none."""
    returned = inspect.signature(function).return_annotation
    if returned is inspect.Signature.empty:
        return ""
    return getattr(returned, "__name__", str(returned)).rpartition(".")[2]


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError, TypeError) as error:  # the last two: no name, a relative one
        raise ConfigurationError(
            f"expected MODULE:NAME or FILE.py:NAME, got a module {name!r} that cannot be imported "
            f"({error}); install the package that holds it, or name a file."
        ) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(
            f"expected FILE.py:NAME, got no file {str(path)!r}; check the path."
        )
    return _execute(path, path.resolve(), path.stat().st_mtime_ns)


@functools.cache
def _execute(path: Path, resolved: Path, modified: int) -> ModuleType:
    """Imports a file once, and once more when it has changed."""
    del modified
    # A name of its own, so that a file called random.py takes no module's place.
    name = f"metarl_experiment_{path.stem}_{zlib.crc32(str(resolved).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # its neighbours can be imported, as in a script
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise ConfigurationError(
            f"{path} cannot be imported: {error}; mend it until `python {path}` runs."
        ) from error
    return module
