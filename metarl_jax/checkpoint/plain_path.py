"""A path that the storage library takes as it stands.

It looks for the files it has written with a pattern made of the whole path, so that brackets, stars
and question marks in the name of a run match something else, and it takes `/gs/...` for a bucket.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PLAIN = re.compile(r"/(?!(gs|s3|az|hf)/)[A-Za-z0-9_+,=@./-]*")
_DESCRIPTORS = Path("/proc/self/fd")
"""Where Linux shows the folders that a process has open, each under a number."""


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """The same folder under a path without special characters, for as long as the block runs.

    Args:
        folder: absolute, and there.

    Returns:
        The folder itself if its path is plain; else a path through this process's own open file,
        or, where the system shows none, through a link in a temporary folder.

    Raises:
        OSError: the folder is not there, or cannot be read.
    """
    if _PLAIN.fullmatch(str(folder)):
        yield folder
    elif _DESCRIPTORS.is_dir():
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield _DESCRIPTORS / str(descriptor)
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            link = Path(temporary, "folder")
            link.symlink_to(folder, target_is_directory=True)
            yield link
