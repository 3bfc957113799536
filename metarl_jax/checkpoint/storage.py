"""Arrays and a manifest in one folder; the only module that knows the storage library."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metarl_jax.checkpoint.plain_path import plain_path


def write(
    folder: Path,
    step: int,
    arrays: Mapping[str, Any],
    manifest: Mapping[str, Any],
    processes: Iterable[int] = (),
) -> None:
    """Writes `folder/step`, beside its place first, and then renames it.

    Args:
        folder: absolute, and there.
        step: of which nothing is there.
        arrays: by path; those without elements are left out.
        manifest: what JSON can hold.
        processes: which write together, each a part of every array; none: this one alone.
    """
    import orbax.checkpoint as ocp

    args = ocp.args.Composite(
        state=ocp.args.PyTreeSave({path: x for path, x in arrays.items() if x.size}),
        manifest=ocp.args.JsonSave(manifest),
    )
    with plain_path(folder) as place, _checkpointer(processes) as checkpointer:
        checkpointer.save(place / str(step), args=args)


def read_manifest(folder: Path, step: int) -> dict[str, Any]:
    """The manifest that `write` was given."""
    import orbax.checkpoint as ocp

    args = ocp.args.Composite(manifest=ocp.args.JsonRestore())
    return dict(_read(folder, step, args)["manifest"])


def read_arrays(folder: Path, step: int, paths: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these paths, none of which is without elements."""
    import orbax.checkpoint as ocp

    wanted = dict.fromkeys(paths, 0)
    restore_args = {path: ocp.RestoreArgs(restore_type=np.ndarray) for path in wanted}
    request = ocp.args.PyTreeRestore(wanted, restore_args=restore_args, partial_restore=True)
    state = _read(folder, step, ocp.args.Composite(state=request))["state"]
    return {path: np.asarray(state[path]) for path in wanted}


@contextlib.contextmanager
def errors_raised_only() -> Iterator[None]:
    """Keeps the library from logging, with a long traceback, the errors that it raises as well."""
    log = logging.getLogger("absl")
    log.addFilter(_is_no_error)
    try:
        yield
    finally:
        log.removeFilter(_is_no_error)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def _read(folder: Path, step: int, args: Any) -> Any:
    with plain_path(folder) as place, _checkpointer() as checkpointer:
        return checkpointer.restore(place / str(step), args=args)


def _checkpointer(processes: Iterable[int] = ()) -> Any:
    """Of these processes together, whose barriers end after a time; or of this one for itself."""
    import orbax.checkpoint as ocp

    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=min(processes, default=own), active_processes=set(processes) or {own}
    )
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=options)
    )
    return ocp.Checkpointer(handler, multiprocessing_options=options)
