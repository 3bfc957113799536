"""The published benchmarks of XLand-MiniGrid, read without opening a pickle to everything.

A pickle may call any function when it is loaded. These files need no more than the few that put
arrays together, and nothing else is let through.
"""

import bz2
import pickle
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from metarl_envs.adapters.rulesets import Ruleset
from metarl_jax.files import reason
from metarl_jax.types import ConfigurationError

FIELDS = {"goals": (5,), "rules": (None, 7), "init_tiles": (None, 2)}
"""The arrays of a benchmark, and their shapes after the axis of rulesets; None for any length."""


def _jax_array(fun: Any, args: Any, state: Any, aval_state: Any) -> np.ndarray:
    """What a pickled array of jax is rebuilt by; the numbers lie in an array of numpy."""
    del aval_state
    array = fun(*args)
    array.__setstate__(state)
    return array


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy.core.numeric", "_frombuffer"): np.zeros(0).__reduce_ex__(5)[0],
    ("numpy._core.numeric", "_frombuffer"): np.zeros(0).__reduce_ex__(5)[0],
    ("jax._src.array", "_reconstruct_array"): _jax_array,
    ("jaxlib.xla_extension", "_reconstruct_array"): _jax_array,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return _ALLOWED[module, name]


def load_rulesets(path: str | Path) -> Ruleset:
    """Reads a benchmark file such as `trivial_21k` or `small_1m_v3`, which you have downloaded.

    Args:
        path: of the file, a bz2-compressed pickle of arrays.

    Returns:
        All its rulesets, stacked on axis 0.

    Raises:
        ConfigurationError: there is no such file, it is no benchmark, or it holds anything but
            arrays.
    """
    try:
        with bz2.open(path, "rb") as file:
            found = _ArraysOnly(file).load()
        arrays = [np.asarray(found[name]) for name in FIELDS]
    except Exception as error:  # a damaged pickle raises anything
        raise ConfigurationError(
            f"expected a benchmark of XLand-MiniGrid, got {str(path)!r}: {reason(error)}; download "
            "one from its authors."
        ) from error
    for (name, shape), array in zip(FIELDS.items(), arrays, strict=True):
        fits = array.ndim == len(shape) + 1 and all(
            expected in (None, size) for expected, size in zip(shape, array.shape[1:], strict=True)
        )
        if not fits or array.dtype.kind not in "iu" or len(array) != len(arrays[0]):
            raise ConfigurationError(
                f"{path}: expected {name} as whole numbers of shape [rulesets, "
                f"{', '.join('any' if x is None else str(x) for x in shape)}], got "
                f"{array.dtype}{list(array.shape)}."
            )
    return Ruleset(*(jnp.asarray(array, jnp.uint8) for array in arrays))
