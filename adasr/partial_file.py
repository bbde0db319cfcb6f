"""Files that appear complete or not at all: written beside the final name, renamed at the end."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def partial_file(final: Path) -> Iterator[Path]:
    """Lend a temporary name beside `final`; rename it when the block ends well, delete it when the block raises.

    Args:
        final: the name the file shall have; a file already there stays untouched until the new one is complete.

    Yields:
        The name to write to. It lies in the same folder, so that the rename is atomic.

    Raises:
        OSError: the folder does not exist, `final` is a folder, or the file system refuses.
    """
    check_writable(final)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(final: Path) -> None:
    """Find out before a long computation whether its result can be stored.

    Raises:
        OSError: the folder of `final` does not exist or cannot be written, or `final` is a folder.
    """
    folder = final.parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder of the output does not exist", str(folder))
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, "the output must be a file, this is a folder", str(final))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "the folder of the output cannot be written", str(folder))


def check_distinct(source: Path, final: Path) -> None:
    """Refuse to write over the file that is read.

    Raises:
        ValueError: both names lead to the same file.
    """
    if source.exists() and final.exists() and source.samefile(final):
        raise ValueError(f"input and output are the same file, {source}: give the output another name")
