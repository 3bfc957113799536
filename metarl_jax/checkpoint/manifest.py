"""What a checkpoint says of itself: every leaf's form and digest, under a digest of all."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from metarl_jax.trees import HostLeaf

FORMAT = 1
"""Version of a checkpoint's layout, which this is part of."""


def make_manifest(
    step: int, leaves: Mapping[str, HostLeaf], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of a checkpoint.

    Args:
        step: its number.
        leaves: of the train state, by their paths.
        metadata: what JSON can hold.
    """
    entries = {
        path: {"dtype": leaf.dtype, "shape": list(leaf.array.shape), "sha256": leaf.digest(path)}
        for path, leaf in leaves.items()
    }
    body = {"format": FORMAT, "step": step, "metadata": dict(metadata), "leaves": entries}
    return body | {"sha256": _digest(body)}


def is_signed(manifest: Mapping[str, Any]) -> bool:
    """Whether its own digest is right."""
    body = {name: value for name, value in manifest.items() if name != "sha256"}
    return manifest.get("sha256") == _digest(body)


def is_ours(manifest: Mapping[str, Any]) -> bool:
    """Whether it has what one of this format has: a stranger can sign anything."""
    step, metadata, entries = (manifest.get(name) for name in ("step", "metadata", "leaves"))
    if type(step) is not int or not isinstance(metadata, dict) or not isinstance(entries, dict):
        return False
    return all(map(_is_entry, entries.values()))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    shape = entry.get("shape")
    texts = all(isinstance(entry.get(name), str) for name in ("dtype", "sha256"))
    return texts and isinstance(shape, list) and all(type(n) is int for n in shape)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
