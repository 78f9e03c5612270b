"""Sees at the kernel which files of a folder any program opens, by Linux's inotify."""

import contextlib
import ctypes
import os
import pathlib
import struct
from collections.abc import Callable, Iterator

_OPEN, _ACCESS = 0x20, 0x1
_EVENT = struct.Struct("iIII")


@contextlib.contextmanager
def watched(folder: pathlib.Path) -> Iterator[Callable[[], set[str]]]:
    """Watches a folder.

    Args:
      folder: its files are watched, not those of folders in it.

    Yields:
      A function that returns the names of the files that were opened or read since it was last called.

    Raises:
      OSError: the system does not watch it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(folder), _OPEN | _ACCESS) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    try:
        yield lambda: _opened(descriptor)
    finally:
        os.close(descriptor)


def _opened(descriptor: int) -> set[str]:
    names = set()
    with contextlib.suppress(BlockingIOError):  # there are no more
        while data := os.read(descriptor, 2**16):
            while data:
                *_, length = _EVENT.unpack_from(data)
                names.add(os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0")))
                data = data[_EVENT.size + length :]
    return names - {""}
