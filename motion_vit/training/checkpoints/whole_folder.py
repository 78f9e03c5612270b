"""Atomic directory writes."""

import contextlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import UnwritableError, reason_of
from motion_vit.files.local_path import local_path


@contextlib.contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a temporary folder, which gets its final name once everything in it is written.

    It is a hidden neighbour of the final name. An error inside removes it; only a process that is killed leaves it
    behind.

    Args:
      folder: a new or empty folder. Its parents are created.

    Yields:
      The folder to write into.

    Raises:
      UserError: `folder` is a file or not empty, or the disk is full or refuses.
    """
    target = pathlib.Path(os.path.realpath(folder))
    check_new_or_empty(target)
    unfinished = _unfinished(target)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        os.replace(unfinished, target)
    except (OSError, UnwritableError) as error:
        raise UserError(
            f"the folder {target} cannot be written: {reason_of(error)}. Check the free space and the "
            "permissions. Nothing of it was kept."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_can_be_made(folder: str | os.PathLike[str]) -> None:
    """Checks that `whole_folder` can make a folder, before something is computed for it; leaves nothing behind.

    Args:
      folder: destination of a write.

    Raises:
      UserError: it is no local path, a file or not empty, or the system refuses to make it.
    """
    check_new_or_empty(folder)
    target = pathlib.Path(os.path.realpath(folder))
    missing = [parent for parent in target.parents if not parent.exists()]
    trial = _unfinished(target)
    try:
        trial.mkdir(parents=True)
        trial.rmdir()
    except OSError as error:
        raise UserError(
            f"the folder {target} cannot be made: {reason_of(error)}. Check the name and the permissions, or give "
            "another folder."
        ) from error
    finally:
        for parent in missing:
            # What somebody else has put something into, or what could not be made, is not this one's to remove.
            with contextlib.suppress(OSError):
                parent.rmdir()


def check_new_or_empty(folder: str | os.PathLike[str]) -> None:
    """Checks that a folder is new or empty.

    Args:
      folder: destination of a write.

    Raises:
      UserError: it is no local path, a file, or not empty.
    """
    path = local_path(folder)
    try:
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file; give a new or an empty folder.")
        found = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    except OSError as error:
        raise UserError(f"the folder {path} cannot be read: {error.strerror}. Check its permissions.") from error
    if path.is_mount():
        raise UserError(f"{path} is a mount point, which cannot be made in one go; give a new folder in it.")
    if found:
        raise UserError(
            f"the folder {path} is not empty (it holds {found[0]!r}), and nothing is overwritten; give a new or an "
            "empty folder."
        )


def _unfinished(target: pathlib.Path) -> pathlib.Path:
    """Names the hidden neighbour that a folder is written as."""
    return target.parent / f".{target.name}.{secrets.token_hex(4)}.unfinished"
