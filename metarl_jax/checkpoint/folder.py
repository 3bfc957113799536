"""The folder that checkpoints lie in: which are there, which go, and what stands in the way."""

import contextlib
import os
import re
import shutil
from pathlib import Path

SET_ASIDE = ".set-aside"
"""In the name of what stood in the way of a run; nothing here reads or deletes it again."""
UNFINISHED = ".orbax-checkpoint-tmp"
"""In the name of what orbax has not finished writing, and of what is being deleted."""


def steps(folder: Path) -> list[int]:
    """The numbers that folders here bear, newest first; whether they are whole is not looked at."""
    if not folder.is_dir():
        return []
    return sorted((int(entry.name) for entry in folder.iterdir() if _is_step(entry)), reverse=True)


def set_aside_newer(folder: Path, step: int) -> list[str]:
    """Renames every step after `step`, so that a run going on from there cannot meet them.

    Returns:
        Their new names.
    """
    newer = [number for number in steps(folder) if number > step]
    return [set_aside(folder / str(number)).name for number in newer]


def make_room(folder: Path, step: int) -> None:
    """Makes the folder, rid of what was left unfinished, with nothing in the way of a step."""
    folder.mkdir(parents=True, exist_ok=True)
    clear_unfinished(folder)
    if os.path.lexists(folder / str(step)):
        set_aside(folder / str(step))


def retain(folder: Path, keep: int) -> None:
    """Deletes all checkpoints but the newest; what cannot be deleted is tried again next time.

    Renamed first: half of a checkpoint, after a kill, is then known for what it is.
    """
    for old in [number for number in steps(folder) if has_manifest(folder, number)][keep:]:
        _rename_to_delete(folder, old)
    clear_unfinished(folder)


def discard(folder: Path, step: int) -> None:
    """Deletes one checkpoint, as `retain` does."""
    _rename_to_delete(folder, step)
    clear_unfinished(folder)


def _rename_to_delete(folder: Path, step: int) -> None:
    with contextlib.suppress(OSError):
        (folder / str(step)).rename(folder / f"{step}{UNFINISHED}-old")


def has_manifest(folder: Path, step: int) -> bool:
    """Whether a step was once a checkpoint of ours; a folder of that name alone is not."""
    return (folder / str(step) / "manifest").is_dir()


def foreign(folder: Path) -> list[str]:
    """What lies here and is no step: "NAME: why"."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        f"{entry.name}: no checkpoint"
        for entry in entries
        if SET_ASIDE not in entry.name and not _is_step(entry)
    ]


def set_aside(place: Path) -> Path:
    """Renames what is in the way, to a name that nothing bears yet; returns it."""
    for number in range(1000):
        aside = place.with_name(f"{place.name}{SET_ASIDE}-{number}")
        if not os.path.lexists(aside):
            return place.rename(aside)
    raise FileExistsError(f"{place} and 1000 others of its name are in the way; move them away.")


def clear_unfinished(folder: Path) -> None:
    """Deletes what saves that were killed or failed have left; one run writes here at a time."""
    for entry in unfinished(folder):
        shutil.rmtree(entry, ignore_errors=True)


def unfinished(folder: Path) -> list[Path]:
    """What saves have begun, and not renamed into its place; or not wholly deleted."""
    begun = folder.glob(f"*{UNFINISHED}*")
    return [entry for entry in begun if _is_number(entry.name.partition(".")[0])]


def _is_step(entry: Path) -> bool:
    """A link is none: whoever deletes an old one must not delete what is elsewhere."""
    return _is_number(entry.name) and entry.is_dir() and not entry.is_symlink()


def _is_number(name: str) -> bool:
    return re.fullmatch(r"0|[1-9][0-9]{0,17}", name) is not None
