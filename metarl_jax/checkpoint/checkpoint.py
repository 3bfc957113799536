"""Checkpoints: a whole train state on disk, and back, bit for bit.

    RUN/checkpoints/1200/state/       the arrays, one for every leaf, by the leaf's path
    RUN/checkpoints/1200/manifest/    dtype, shape and SHA-256 of every leaf, and a few numbers

A save is written beside its place and renamed into it: one that is killed leaves the others whole.
It is read back before it counts as saved. What is read is trusted once our own digests agree: the
storage library loads a flipped bit without a word, casts dtypes in silence, and takes an empty
folder named `4` for step 4. So does its manager of many steps, which is why the steps are kept in
order here.

Of several processes that share a file system each writes a part of every array. The first reads all
of them back; to restore, each reads them all.
"""

import dataclasses
import reprlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metarl_jax.checkpoint import storage
from metarl_jax.checkpoint.folder import (
    clear_unfinished,
    discard,
    foreign,
    has_manifest,
    make_room,
    retain,
    steps,
)
from metarl_jax.checkpoint.manifest import FORMAT, is_ours, is_signed, make_manifest
from metarl_jax.checkpoint.mismatch import refusal
from metarl_jax.files import reason
from metarl_jax.parallel.processes import broadcast_from_first, is_first, on_all_processes
from metarl_jax.parallel.sharding import place_global
from metarl_jax.trees import (
    HostLeaf,
    first_difference,
    form,
    host_leaves,
    is_key,
    leaves_by_path,
    structure,
    without_key,
)
from metarl_jax.types import ConfigurationError, PyTree


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
    folder: Path,
    step: int,
    state: PyTree,
    metadata: Mapping[str, Any],
    *,
    keep: int = 2,
    alone: bool = False,
    before: Callable[[], object] = lambda: None,
) -> None:
    """Writes `folder/step`, whole or not at all, then deletes all but the `keep` newest.

    Args:
        folder: `RUN/checkpoints`; made where it is missing.
        step: its number, at least 0. Whatever bears that name already is set aside.
        state: a pytree of arrays, typed keys among them; replicated where there are processes.
        metadata: what JSON can hold.
        keep: how many checkpoints stay, at least 1.
        alone: the first process calls this and no other, which may be gone.
        before: what must be done first, or nothing is saved.

    Raises:
        SaveError: the disk is full, the folder is not writable, `before` failed, or what was
            written cannot be read back; it is deleted, and the older checkpoints stand.
    """
    folder, leaves = folder.absolute(), host_leaves(state)
    manifest = make_manifest(step, leaves, metadata)
    arrays: Mapping[str, Any] = {path: leaf.array for path, leaf in leaves.items()}
    processes = () if alone or jax.process_count() == 1 else range(jax.process_count())
    if processes:  # of a global array, each writes a part
        arrays = {path: without_key(leaf) for path, leaf in leaves_by_path(state).items()}
    phases = (
        before,
        lambda: make_room(folder, step) if is_first() else None,
        lambda: storage.write(folder, step, arrays, manifest, processes),
        lambda: _read_back(folder, step, manifest) if is_first() else None,
        lambda: retain(folder, keep) if is_first() else None,
    )
    with storage.errors_raised_only():
        try:
            for phase in phases:
                on_all_processes(phase) if processes else phase()
        except Exception as error:  # the library has many: OSError, ValueError, its own
            for _ in range(10 * is_first()):  # its threads still write, and make the folder anew
                clear_unfinished(folder)
                time.sleep(0.05)
            raise SaveError(
                f"checkpoint {step} could not be written to {folder}: {_first_line(error)}"
            ) from error


def restore(
    folder: Path, template: PyTree, step: int | None = None, *, within: str = ""
) -> Restored:
    """Reads the newest checkpoint that verifies, or just the one asked for.

    Of several processes the first looks for it, and all read what it has found.

    Args:
        folder: `RUN/checkpoints`.
        template: a train state, or its shapes (`jax.eval_shape`): what is expected.
        step: None for the newest; a number never falls back to another.
        within: path of a part of the train state, such as "learner.params". Only its leaves are
            read, and `template` describes only that part. Empty for the whole state.

    Raises:
        CheckpointError: nothing here verifies; or what does is of another architecture, or was
            saved under another setting of jax, and then the first leaf that differs is named with
            both its forms.
    """
    if jax.process_count() == 1:
        return _restore(folder.absolute(), template, step, within)
    found: list[Restored] = []

    def look() -> str:
        found.append(_restore(folder.absolute(), template, step, within))
        return str(found[0].step)

    newest = int(broadcast_from_first(look))
    return on_all_processes(
        lambda: found[0] if found else _restore(folder.absolute(), template, newest, within)
    )


def leaf_digests(folder: Path, step: int | None = None) -> dict[str, str]:
    """SHA-256 of every leaf of a checkpoint, by its path, as it was when it was saved.

    Args:
        folder: `RUN/checkpoints`.
        step: None for the newest.

    Raises:
        CheckpointError: there is none, or it does not say.
    """
    step = max(steps(folder), default=0) if step is None else step
    try:
        entries = _read_manifest(folder.absolute(), step)["leaves"]
    except _DamageError as damage:
        raise CheckpointError(
            f"expected a checkpoint {step} in {folder}, got none: {damage}; the steps there are "
            f"{steps(folder) or 'none'}."
        ) from damage
    return {path: entry["sha256"] for path, entry in entries.items()}


def _restore(folder: Path, template: PyTree, step: int | None, within: str) -> Restored:
    if step is not None:
        try:
            return _read(folder, step, template, within)
        except _DamageError as damage:
            raise CheckpointError(
                f"expected a whole checkpoint {step} in {folder}, got none: {damage}; the steps "
                f"there are {steps(folder) or 'none'}, and the newest good one is taken if none is "
                "asked for."
            ) from damage
    passed_over: list[str] = []
    for candidate in steps(folder):
        try:
            restored = _read(folder, candidate, template, within)
        except _DamageError as damage:
            passed_over.append(f"{candidate}: {damage}")
        else:
            return dataclasses.replace(restored, passed_over=(*passed_over, *foreign(folder)))
    reasons = "; ".join([*passed_over, *foreign(folder)]) or "it is empty or not there"
    raise CheckpointError(
        f"expected a checkpoint in {folder}, got none that can be used ({reasons}); give the "
        "folder of a run that has saved one, or start a new run."
    )


def _read_back(folder: Path, step: int, manifest: Mapping[str, Any]) -> None:
    """Reads what was just written; what cannot be read, or is not the same, is deleted.

    Raises:
        OSError: it could not be read, or is not the same.
    """
    try:
        if _read_manifest(folder, step)["sha256"] != manifest["sha256"]:
            raise _DamageError("its manifest is not the one that was written")
        _read_arrays(folder, step, manifest["leaves"])
    except (ConfigurationError, _DamageError) as error:
        discard(folder, step)
        raise OSError(f"it was written, but cannot be read back: {error}") from error


def _read(folder: Path, step: int, template: PyTree, within: str) -> Restored:
    place = folder / str(step)
    manifest = _read_manifest(folder, step)
    prefix = f"{within}." if within else ""
    entries = {path: x for path, x in manifest["leaves"].items() if path.startswith(prefix)}
    stored = {path: form(entry["dtype"], entry["shape"]) for path, entry in entries.items()}
    expected_forms = {prefix + path: x for path, x in structure(template).items()}
    if difference := first_difference(expected_forms, stored):
        raise CheckpointError(refusal(place, *difference))
    arrays = _read_arrays(folder, step, entries)
    leaves = [_put(arrays[prefix + path], x) for path, x in leaves_by_path(template).items()]
    state = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return Restored(state, step, manifest["metadata"])


def _read_manifest(folder: Path, step: int) -> dict[str, Any]:
    place = folder / str(step)
    if not place.is_dir():
        raise _DamageError("it is not there")
    if not has_manifest(folder, step):
        raise _DamageError("it has no manifest")
    try:
        manifest = storage.read_manifest(folder, step)
    except Exception as error:  # whatever a damaged file makes the library raise
        raise _DamageError(f"its manifest cannot be read ({_first_line(error)})") from error
    if not is_signed(manifest):
        raise _DamageError("its manifest does not match the manifest's own digest")
    if (its_format := manifest.get("format")) != FORMAT:
        raise CheckpointError(
            f"{place}: expected a checkpoint of format {FORMAT}, got format "
            f"{reprlib.repr(its_format)}; read it with the version of metarl-jax that wrote it."
        )
    if not is_ours(manifest):
        raise _DamageError("its manifest is none of ours")
    if manifest["step"] != step:
        raise _DamageError(f"it was saved as {manifest['step']} and renamed")
    return manifest


def _read_arrays(folder: Path, step: int, entries: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every leaf's values, once its digest has been found right."""
    stored = [path for path, entry in entries.items() if 0 not in entry["shape"]]
    try:
        arrays = storage.read_arrays(folder, step, stored)
    except Exception as error:  # whatever a damaged file makes the library raise
        raise _DamageError(f"its arrays cannot be read ({_first_line(error)})") from error
    for path, entry in entries.items():
        if path not in arrays:  # an array without elements is not stored
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
    data = place_global(array, sharding)
    return jax.random.wrap_key_data(data, impl=_key_impl(leaf)) if is_key(leaf) else data


def _key_impl(leaf: Any) -> Any:
    found: list[Any] = []  # jax.random.key_impl takes no ShapeDtypeStruct, but a tracer of one
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error).strip().partition(chr(10))[0][:200]}"
