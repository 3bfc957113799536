"""What a pytree of arrays is, leaf by leaf: path, dtype, shape and a digest of the bytes."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.types import Array, PyTree


@dataclasses.dataclass(frozen=True)
class HostLeaf:
    """One leaf on the host.

    Attributes:
        dtype: its name; a typed key's own, such as `key<fry>`.
        array: its values; a typed key's data.
    """

    dtype: str
    array: np.ndarray

    def digest(self, path: str) -> str:
        """SHA-256 over path, dtype, shape and bytes."""
        head = f"{path}\0{self.dtype}\0{self.array.shape}\0".encode()
        return hashlib.sha256(head + self.array.tobytes()).hexdigest()


def leaves_by_path(tree: PyTree) -> dict[str, Any]:
    """Every leaf under its path, such as `learner.params.weights['heads']`, in the tree's order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}


def host_leaves(tree: PyTree) -> dict[str, HostLeaf]:
    """Every leaf, fetched from the device, under its path."""
    return {
        path: HostLeaf(str(leaf.dtype), np.asarray(without_key(leaf)))
        for path, leaf in leaves_by_path(tree).items()
    }


def structure(tree: PyTree) -> dict[str, str]:
    """Every leaf's form, such as `float32[64, 128]`, under its path; shapes alone will do."""
    return {
        path: form(
            str(leaf.dtype),
            jax.eval_shape(without_key, leaf).shape,
        )
        for path, leaf in leaves_by_path(tree).items()
    }


def form(dtype: str, shape: Any) -> str:
    """How a leaf's dtype and shape are written."""
    return f"{dtype}{list(shape)}"


def first_difference(
    expected: Mapping[str, str], got: Mapping[str, str]
) -> tuple[str, str, str] | None:
    """(path, expected form, form got) of the first leaf that differs between two structures."""
    for path in (*expected, *got):
        forms = [tree.get(path, "no such leaf") for tree in (expected, got)]
        if forms[0] != forms[1]:
            return path, forms[0], forms[1]
    return None


def digest(tree: PyTree) -> str:
    """SHA-256 over every leaf: equal for bit-equal trees alone."""
    total = hashlib.sha256()
    for path, leaf in host_leaves(tree).items():
        total.update(leaf.digest(path).encode())
    return total.hexdigest()


def is_key(leaf: Any) -> bool:
    """Whether a leaf (or its shape) is a typed PRNG key."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def without_key(leaf: Any) -> Any:
    """A leaf; a typed key's data."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def strong(tree: PyTree) -> Any:
    """The tree with every leaf an array of a dtype of its own: also Python's numbers and truths."""

    def leaf(x: Any) -> Any:
        if isinstance(x, jax.Array) and not getattr(x, "weak_type", False):
            return x
        return jnp.asarray(x, jnp.result_type(x))

    return jax.tree.map(leaf, tree)


def plain(tree: PyTree) -> Any:
    """The tree of dicts and tuples with the same leaves.

    Named tuples, dataclasses and mappings become dicts by the names of their fields, lists become
    tuples. Parts without a leaf are left out.
    """
    inner, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)
    if len(inner) == 1 and not inner[0][0]:
        return tree
    parts = {_name(path[0]): plain(part) for path, part in inner if jax.tree.leaves(part)}
    if parts and all(isinstance(name, int) for name in parts):
        return tuple(parts.values())
    return {str(name): part for name, part in parts.items()}


def _name(key: Any) -> str | int:
    """The name of one level of a path: a field, a dict's key or a number."""
    if isinstance(key, jax.tree_util.SequenceKey):
        return key.idx
    return getattr(key, "name", None) or str(getattr(key, "key", key))


def take(tree: PyTree, index: int | np.ndarray | Array) -> Any:
    """Every leaf at this index, or at these, of its first axis."""
    return jax.tree.map(lambda x: x[index], tree)


def select(condition: Array, new: PyTree, old: PyTree) -> PyTree:
    """`jnp.where` for trees, over the leading axes that `condition` has."""

    def leaf(new: Array, old: Array) -> Array:
        trailing = (1,) * (new.ndim - condition.ndim)
        return jnp.where(condition.reshape(condition.shape + trailing), new, old)

    return jax.tree.map(leaf, new, old)
