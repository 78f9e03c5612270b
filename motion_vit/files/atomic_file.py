"""Writes files that are only ever seen whole, and says in a sentence why one cannot be written.

A file is written under a hidden name in its own folder, brought to the disk, and renamed. Where that fails, nothing of
it is left, and an earlier file of the name stays as it was. Only a process that is killed leaves a hidden file behind.
"""

import contextlib
import errno
import os
import pathlib
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

from motion_vit.errors import UserError

UNFINISHED = ".unfinished-"
"""How the names of files begin that are being written, or that a killed process has left."""

# Libraries choose a format by the end of a name. What is longer is no such end, and might make the name too long.
_LONGEST_SUFFIX = 16

# What file systems answer that cannot bring a single file to the disk.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class UnwritableError(UserError):
    """Error of a file or folder that cannot be written.

    Args:
      path: the file or folder.
      reason: why, in the words of the system.
      advice: a sentence about what to do.

    Attributes:
      path: the file or folder.
      reason: why, in the words of the system.
      advice: a sentence about what to do.
    """

    def __init__(self, path: str, reason: str, advice: str) -> None:
        # All of them are arguments of the exception: one that a worker process raises is pickled.
        super().__init__(path, reason, advice)
        self.path, self.reason, self.advice = path, reason, advice

    def _message(self) -> str:
        return f"{self.path} cannot be written: {self.reason}. {self.advice}"


def reason_of(error: OSError | UnwritableError) -> str:
    """Says why something cannot be written, for a sentence that gives more advice.

    Args:
      error: of the system, or of this module.

    Returns:
      A clause.
    """
    return error.reason if isinstance(error, UnwritableError) else (error.strerror or str(error)).rstrip(".")


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what the system says about a file or folder that is being written into a sentence.

    Args:
      path: the file or folder.

    Raises:
      UnwritableError: the code inside raised an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UnwritableError(os.fspath(path), reason_of(error), _advice(pathlib.Path(path), error.errno)) from error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Writes a file with a library that asks for its name.

    Args:
      path: the file; it is replaced where it exists. The file that a link leads to is replaced, not the link.

    Yields:
      The name to write to: of an empty file in the same folder, with the same end.

    Raises:
      UnwritableError: it cannot be written.
    """
    with writing(path):
        target = pathlib.Path(os.path.realpath(path))
        _check_kind(target)
        suffix = target.suffix if len(target.suffix) <= _LONGEST_SUFFIX else ""
        unfinished = target.with_name(f"{UNFINISHED}{secrets.token_hex(8)}{suffix}")
        # The system takes off what the user's mask forbids; some libraries let nobody but the owner read their files.
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            os.close(descriptor)
            yield unfinished
            if stat.S_IMODE(os.stat(unfinished).st_mode) != mode:
                os.chmod(unfinished, mode)
            _bring_to_disk(unfinished)
            os.replace(unfinished, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Writes a file piece by piece.

    Args:
      path: the file; it is replaced where it exists.

    Yields:
      The file, open for bytes, at its start.

    Raises:
      UnwritableError: it cannot be written.
    """
    with atomic_path(path) as unfinished, open(unfinished, "wb") as file:
        yield file


def write_bytes(path: str | os.PathLike[str], data: bytes | bytearray) -> None:
    """Writes a file.

    Args:
      path: the file; it is replaced where it exists.
      data: its content.

    Raises:
      UnwritableError: it cannot be written.
    """
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Writes a text file in UTF-8.

    Args:
      path: the file; it is replaced where it exists.
      text: its content. Half a character, as Python makes of file names that are no text, is written as JSON does:
        `\udcff`.

    Raises:
      UnwritableError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def make_folder(path: str | os.PathLike[str]) -> None:
    """Makes a folder and those above it, where they do not exist.

    Args:
      path: the folder.

    Raises:
      UnwritableError: it cannot be made, or is a file.
    """
    with writing(path):
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)


def _check_kind(target: pathlib.Path) -> None:
    """Refuses what a file cannot take the place of: a folder, a device, a pipe."""
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(found):
        raise OSError(errno.EEXIST, "It is a device or a pipe, not a file", str(target))


def _bring_to_disk(path: pathlib.Path) -> None:
    with open(path, "rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise


def _advice(path: pathlib.Path, number: int | None) -> str:
    """Says what to do about an error of the system."""
    other = "or name another place"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"Make room on its disk, {other}."
    if number == errno.EROFS:
        return "Its file system is mounted for reading only; name another place."
    if number in (errno.EACCES, errno.EPERM):
        return f"Check the permissions of the folder {path.parent}, {other}."
    if number == errno.EISDIR:
        return "Give the name of a file."
    if number == errno.ENAMETOOLONG:
        return "Give a shorter name."
    if number in (errno.ENOTDIR, errno.EEXIST):
        file = next((str(place) for place in (*reversed(path.parents), path) if os.path.isfile(place)), "")
        return f"{file} is a file; name a folder." if file else "Name another place."
    if number == errno.ENOENT:
        return f"Make the folder {path.parent} first, {other}."
    return f"Check the free space and the permissions, {other}."
