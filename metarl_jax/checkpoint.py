"""Checkpoints: a whole train state on disk, and back, bit for bit.

    RUN/checkpoints/1200/state/       the arrays, one for every leaf, by the leaf's path
    RUN/checkpoints/1200/manifest/    dtype, shape and SHA-256 of every leaf, and a few numbers

A save is written beside its place and renamed into it: one that is killed leaves the others whole.
What is read back is trusted once our own digests agree: the storage library loads a flipped bit
without a word, casts dtypes in silence, and takes an empty folder named `4` for step 4. So does its
manager of many steps, which is why the steps are kept in order here.
"""

import dataclasses
import hashlib
import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metarl_jax.fingerprint import (
    HostLeaf,
    first_difference,
    form,
    host_leaves,
    is_key,
    leaves_by_path,
    structure,
)
from metarl_jax.types import ConfigurationError, PyTree

FORMAT = 1
"""Version of the layout above."""
SET_ASIDE = ".set-aside"
"""In the name of what stood in the way of a run; nothing here reads or deletes it again."""


class CheckpointError(ConfigurationError):
    """No checkpoint can be read here, or not into this train state."""


class SaveError(RuntimeError):
    """A checkpoint could not be written; the older ones stand as they did."""


class _DamageError(Exception):
    """Why a step cannot be trusted."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """A train state read back.

    Attributes:
        state: as it was saved.
        step: the number it was saved under.
        metadata: what was saved with it.
        passed_over: what else lies there, newer and damaged or no checkpoint: "NAME: why".
    """

    state: PyTree
    step: int
    metadata: Mapping[str, Any]
    passed_over: tuple[str, ...] = ()


def save(
    folder: Path, step: int, state: PyTree, metadata: Mapping[str, Any], *, keep: int = 2
) -> None:
    """Writes `folder/step`, whole or not at all, then deletes all but the `keep` newest.

    Args:
        folder: `RUN/checkpoints`; made where it is missing.
        step: its number, at least 0. Whatever bears that name already is set aside.
        state: a pytree of arrays, typed keys among them.
        metadata: what JSON can hold.
        keep: how many checkpoints stay, at least 1.

    Raises:
        SaveError: the disk is full, the folder is not writable, …; what was half-written is gone.
    """
    import orbax.checkpoint as ocp

    folder = folder.absolute()
    leaves = host_leaves(state)
    arrays = {path: leaf.array for path, leaf in leaves.items() if leaf.array.size}
    args = ocp.args.Composite(
        state=ocp.args.PyTreeSave(arrays),
        manifest=ocp.args.JsonSave(_manifest(step, leaves, metadata)),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_unfinished(folder)
        if (folder / str(step)).exists():
            _set_aside(folder / str(step))
        with _checkpointer() as checkpointer:
            checkpointer.save(folder / str(step), args=args)
        for old in [number for number in steps(folder) if _manifest_of(folder, number)][keep:]:
            shutil.rmtree(folder / str(old))
    except Exception as error:  # the library has many: OSError, ValueError, its own
        for _ in range(10):  # the library's threads may still write, and make the folder anew
            _clear_unfinished(folder)
            time.sleep(0.05)
        raise SaveError(
            f"checkpoint {step} could not be written to {folder}: {_first_line(error)}"
        ) from error


def restore(folder: Path, template: PyTree, step: int | None = None) -> Restored:
    """Reads the newest checkpoint that verifies, or just the one asked for.

    Args:
        folder: `RUN/checkpoints`.
        template: a train state, or its shapes (`jax.eval_shape`): what is expected.
        step: None for the newest; a number never falls back to another.

    Raises:
        CheckpointError: nothing here verifies; or what does is of another architecture, and then
            the first leaf that differs is named with both its forms.
    """
    folder = folder.absolute()
    if step is not None:
        try:
            return _read(folder, step, template)
        except _DamageError as damage:
            raise CheckpointError(
                f"expected a whole checkpoint {step} in {folder}, got none: {damage}; the steps "
                f"there are {steps(folder) or 'none'}, and the newest good one is taken if none is "
                "asked for."
            ) from damage
    passed_over: list[str] = []
    for candidate in steps(folder):
        try:
            restored = _read(folder, candidate, template)
        except _DamageError as damage:
            passed_over.append(f"{candidate}: {damage}")
        else:
            return dataclasses.replace(restored, passed_over=(*passed_over, *_foreign(folder)))
    reasons = "; ".join([*passed_over, *_foreign(folder)]) or "it is empty or not there"
    raise CheckpointError(
        f"expected a checkpoint in {folder}, got none that can be used ({reasons}); give the "
        "folder of a run that has saved one, or start a new run."
    )


def steps(folder: Path) -> list[int]:
    """The numbers that folders here bear, newest first; whether they are whole is not looked at."""
    if not folder.is_dir():
        return []
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return sorted((int(name) for name in names if _is_step(name)), reverse=True)


def set_aside_newer(folder: Path, step: int) -> list[str]:
    """Renames every step after `step`, so that a run going on from there cannot meet them.

    Returns:
        Their new names.
    """
    newer = [number for number in steps(folder) if number > step]
    return [_set_aside(folder / str(number)).name for number in newer]


def _manifest(step: int, leaves: Mapping[str, HostLeaf], metadata: Mapping[str, Any]) -> dict:
    entries = {
        path: {
            "dtype": leaf.dtype,
            "shape": list(leaf.array.shape),
            "sha256": leaf.digest(path),
        }
        for path, leaf in leaves.items()
    }
    body = {"format": FORMAT, "step": step, "metadata": dict(metadata), "leaves": entries}
    return body | {"sha256": _json_digest(body)}


def _read(folder: Path, step: int, template: PyTree) -> Restored:
    place = folder / str(step)
    manifest = _read_manifest(folder, step)
    entries = manifest["leaves"]
    stored = {path: form(entry["dtype"], entry["shape"]) for path, entry in entries.items()}
    if difference := first_difference(structure(template), stored):
        path, expected, got = difference
        raise CheckpointError(
            f"{place} is of another architecture: at {path} expected {expected}, got {got}; give "
            "the settings it was trained with (its run's config.json), or another run."
        )
    arrays = _read_arrays(place, entries)
    leaves = [_put(arrays[path], leaf) for path, leaf in leaves_by_path(template).items()]
    state = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return Restored(state, step, manifest["metadata"])


def _read_manifest(folder: Path, step: int) -> dict[str, Any]:
    import orbax.checkpoint as ocp

    place = folder / str(step)
    if not place.is_dir():
        raise _DamageError("it is not there")
    if not _manifest_of(folder, step):
        raise _DamageError("it has no manifest")
    try:
        with _checkpointer() as checkpointer:
            args = ocp.args.Composite(manifest=ocp.args.JsonRestore())
            manifest = dict(checkpointer.restore(place, args=args)["manifest"])
        claimed = manifest.pop("sha256")
    except Exception as error:  # whatever a damaged file makes the library raise
        raise _DamageError(f"its manifest cannot be read ({_first_line(error)})") from error
    if claimed != _json_digest(manifest):
        raise _DamageError("its manifest does not match the manifest's own digest")
    if manifest["format"] != FORMAT:
        raise CheckpointError(
            f"{place}: expected a checkpoint of format {FORMAT}, got format {manifest['format']}; "
            "read it with the version of metarl-jax that wrote it."
        )
    if manifest["step"] != step:
        raise _DamageError(f"it was saved as {manifest['step']} and renamed")
    return manifest


def _read_arrays(place: Path, entries: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every leaf's values, once its digest has been found right."""
    import orbax.checkpoint as ocp

    stored = {path: 0 for path, entry in entries.items() if 0 not in entry["shape"]}
    restore_args = {path: ocp.RestoreArgs(restore_type=np.ndarray) for path in stored}
    request = ocp.args.PyTreeRestore(stored, restore_args=restore_args)
    try:
        with _checkpointer() as checkpointer:
            read = checkpointer.restore(place, args=ocp.args.Composite(state=request))["state"]
        arrays = {path: np.asarray(read[path]) for path in stored}
    except Exception as error:  # whatever a damaged file makes the library raise
        raise _DamageError(f"its arrays cannot be read ({_first_line(error)})") from error
    for path, entry in entries.items():
        if path not in stored:  # an array without elements is not stored
            arrays[path] = np.zeros(entry["shape"], entry["dtype"])
        is_plain = not entry["dtype"].startswith("key<")
        dtype = str(arrays[path].dtype) if is_plain else entry["dtype"]
        if HostLeaf(dtype, arrays[path]).digest(path) != entry["sha256"]:
            raise _DamageError(f"the values of {path} do not match their digest")
    return arrays


def _put(array: np.ndarray, leaf: Any) -> jax.Array:
    """The array on the device, laid out as the template's leaf is."""
    committed = not isinstance(leaf, jax.Array) or leaf.committed
    sharding = getattr(leaf, "sharding", None) if committed else None
    if is_key(leaf):
        data = jax.device_put(array)
        key = jax.random.wrap_key_data(data, impl=_key_impl(leaf))
        return key if sharding is None else jax.device_put(key, sharding)
    return jax.device_put(array, sharding)


def _key_impl(leaf: Any) -> Any:
    found: list[Any] = []  # jax.random.key_impl takes no ShapeDtypeStruct, but a tracer of one
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _json_digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _checkpointer() -> Any:
    import orbax.checkpoint as ocp

    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())


def _is_step(name: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,17}", name) is not None


def _manifest_of(folder: Path, step: int) -> bool:
    return (folder / str(step) / "manifest").is_dir()


def _foreign(folder: Path) -> list[str]:
    """What lies here and is no step: "NAME: why"."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        f"{entry.name}: no checkpoint"
        for entry in entries
        if SET_ASIDE not in entry.name and not (_is_step(entry.name) and entry.is_dir())
    ]


def _set_aside(place: Path) -> Path:
    for number in range(1000):
        aside = place.with_name(f"{place.name}{SET_ASIDE}-{number}")
        if not aside.exists():
            return place.rename(aside)
    raise FileExistsError(f"{place} and 1000 others of its name are in the way; move them away.")


def _clear_unfinished(folder: Path) -> None:
    """Deletes what saves that were killed or failed have left; one run writes here at a time."""
    for entry in folder.glob("*.orbax-checkpoint-tmp*"):
        if _is_step(entry.name.partition(".")[0]):
            shutil.rmtree(entry, ignore_errors=True)
