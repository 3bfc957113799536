"""Whether two trees of numbers are the same: to the bit, or but for rounding."""

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.types import PyTree


def relative_error(actual: PyTree, expected: PyTree) -> float:
    """The largest relative error of a leaf: max |actual - expected| / max |expected|.

    A leaf whose numbers are all tiny beside another leaf's (a thousandth) is measured against that
    thousandth: it is a difference of large numbers, and has their rounding errors.
    """
    as_float64 = lambda tree: [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    pairs = list(zip(as_float64(actual), as_float64(expected), strict=True))
    assert all(a.shape == e.shape for a, e in pairs)
    sizes = [np.max(np.abs(e), initial=0.0) for _, e in pairs]
    floor = max(1e-3 * max(sizes, default=0.0), 1e-30)
    errors = [
        np.max(np.abs(a - e), initial=0.0) / max(size, floor)
        for (a, e), size in zip(pairs, sizes, strict=True)
    ]
    return float(max(errors, default=0.0))


def assert_same(actual: PyTree, expected: PyTree) -> None:
    """Every leaf equal bit for bit, dtypes too; typed keys by their data."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, e = jax.random.key_data(a), jax.random.key_data(e)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(e))
