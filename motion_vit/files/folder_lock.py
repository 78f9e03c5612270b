"""Locks on folders, so that one process at a time writes into each.

The lock is the operating system's (`flock` on the file `.lock`): it ends with the process that holds it, however that
ends, so that nothing stale is ever left to be removed. Processes on other machines see it where the file system passes
it on: NFS of version 4, and Lustre, BeeGFS and CephFS mounted with locks. A server frees the locks of a dead machine
within its lease, usually 90 s. On file systems without locks, such as buckets mounted with gcsfuse, nothing keeps two
writers apart, and the caller is told so.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO

from motion_vit.errors import UserError

LOCK_FILE = ".lock"

# What file systems without locks answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)


@contextlib.contextmanager
def locked_folder(folder: pathlib.Path, work: str, *, file: str = LOCK_FILE) -> Iterator[str]:
    """Holds the lock of a folder.

    Args:
      folder: the folder, which exists.
      work: what the holder does in it, for the message that others get: "training".
      file: the lock's file in the folder.

    Yields:
      A sentence where the file system has no locks; "" otherwise.

    Raises:
      UserError: another process holds it; the message names process, machine and time.
      OSError: the file cannot be written.
    """
    path = folder / file
    # Not truncated before the lock is held: it says who holds it.
    with open(path, "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{_holder(lock, work)} is writing into {folder}. Wait until it has ended, or give another folder. The "
                "lock ends with that process; if the process is gone, another machine's server may hold it for two "
                "more minutes."
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            yield f"the file system of {folder} has no locks: make sure that no other process writes into it."
            return
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        lock.truncate(0)
        json.dump({"work": work, "process": os.getpid(), "machine": socket.gethostname(), "since": since}, lock)
        lock.flush()
        try:
            yield ""
        finally:
            # Of a folder that is written the same twice, all bytes are the same.
            lock.truncate(0)


def _holder(lock: IO[str], work: str) -> str:
    """Names the process that holds a lock, as far as its file says it."""
    try:
        lock.seek(0)
        known = json.loads(lock.read(1000))
        process, machine, since = int(known["process"]), str(known["machine"])[:100], str(known["since"])[:40]
        return f"process {process} on {machine} ({work} since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
