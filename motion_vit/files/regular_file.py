"""Opens files whose paths come from outside: regular files only.

A named pipe, a device or a socket under the name of a video or of a list would wait forever or never end.
"""

import errno
import io
import os
import stat
from typing import BinaryIO

LARGEST_TEXT = 2**30
"""Bytes. Longer texts are refused before they are read: a list of a million videos takes a tenth of it."""

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularFileError(OSError):
    """Error of a path that leads to a pipe, device or socket; `strerror` says which."""


def open_regular_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading; links are followed. It never waits for another process.

    Args:
      path: comes from outside: a video, a list, weights.

    Returns:
      The file, at its start.

    Raises:
      OSError: the path leads to something else, or the file cannot be opened; `strerror` is a reason in words.
    """
    try:
        # Before opening: to open a device can already do something.
        _check(path, os.stat(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        raise FileNotFoundError(errno.ENOENT, "No file can have this name", os.fspath(path)) from None
    try:
        _check(path, os.fstat(descriptor))  # another file may have taken its place
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads a regular file whole.

    Args:
      path: comes from outside.

    Returns:
      Its bytes.

    Raises:
      OSError: as `open_regular_file`.
    """
    with open_regular_file(path) as file:
        return file.read()


def read_regular_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Reads a text file whole; its lines then end with a newline sign alone.

    Args:
      path: comes from outside.
      encoding: as of `open`.

    Returns:
      The text.

    Raises:
      OSError: as `open_regular_file`, or the file is longer than `LARGEST_TEXT`.
      UnicodeDecodeError: it is not text in this encoding.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_TEXT:
            raise OSError(errno.EFBIG, f"It has {size} bytes, and at most {LARGEST_TEXT} are read as text", str(path))
        with io.TextIOWrapper(file, encoding) as text:
            return text.read()


def _check(path: str | os.PathLike[str], found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
    raise NotRegularFileError(errno.EINVAL, f"It is {kind}, not a regular file", os.fspath(path))
