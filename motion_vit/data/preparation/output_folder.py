"""The output folder of a preparation: one preparation at a time, atomic files, readable errors."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from motion_vit.data.sources.manifest import MANIFEST_FILE
from motion_vit.errors import UserError
from motion_vit.files import atomic_file
from motion_vit.files.folder_lock import locked_folder
from motion_vit.files.json_file import read_json

PROGRESS_FOLDER = ".shards"
"""What is known of the finished shards, from which an interrupted preparation goes on; nobody needs it to read them."""

_SETTINGS_FILE = "settings.json"
_LOCK_FILE = "lock"
# What tensorflow_datasets reads besides the shards.
_METADATA_FILES = ("dataset_info.json", "features.json", "label.labels.txt")


class OutputError(UserError):
    """Error of a folder that cannot be written: the disk is full, or writing is not allowed."""


def output_error(path: pathlib.Path, reason: object) -> OutputError:
    """Makes the error for a file that cannot be written.

    Args:
      path: the file or folder.
      reason: message of the operating system or of the writing library.

    Returns:
      The error.
    """
    said = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return OutputError(
        f"cannot write {path}: {said}. The shards that are finished are kept: make room or allow writing, then run the "
        "same command again, and it goes on from there"
    )


@contextlib.contextmanager
def written_file(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Writes a file under a temporary name in the same folder, and renames it once it is complete on disk.

    Args:
      path: the final name.

    Yields:
      The name to write to.

    Raises:
      OutputError: it cannot be written.
    """
    with _told_as_output_error(path), atomic_file.atomic_path(path) as unfinished:
        yield unfinished


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a small text file.

    Args:
      path: the file; it is replaced where it exists.
      text: content of the file.

    Raises:
      OutputError: it cannot be written.
    """
    with _told_as_output_error(path):
        atomic_file.write_text(path, text)


@contextlib.contextmanager
def _told_as_output_error(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except atomic_file.UnwritableError as error:
        raise output_error(path, error.reason) from error


@contextlib.contextmanager
def locked_output(folder: pathlib.Path) -> Iterator[None]:
    """Locks a folder for one preparation: creates it if needed, and removes unfinished files of dead preparations.

    Args:
      folder: output of the preparation.

    Raises:
      OutputError: the folder cannot be created or written.
      UserError: another preparation is writing into it.
    """
    progress = folder / PROGRESS_FOLDER
    with contextlib.ExitStack() as stack:
        try:
            progress.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked_folder(folder, "preparing", file=f"{PROGRESS_FOLDER}/{_LOCK_FILE}"))
        except (NotADirectoryError, FileExistsError, FileNotFoundError) as error:
            raise OutputError(
                f"{folder} cannot be made: {error.strerror}; give a folder, or the name of a new one"
            ) from error
        except OSError as error:
            raise output_error(folder, error) from error
        for left_over in (*folder.glob(f"{atomic_file.UNFINISHED}*"), *progress.glob(f"{atomic_file.UNFINISHED}*")):
            left_over.unlink(missing_ok=True)
        yield


def check_settings(folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Checks that a folder was begun with the same settings, and records them in a new one.

    Args:
      folder: output of the preparation.
      settings: everything that shards depend on, by its name in messages.

    Raises:
      UserError: the folder was begun with other settings, or holds a dataset of unknown settings.
      OutputError: the folder cannot be written.
    """
    file = folder / PROGRESS_FOLDER / _SETTINGS_FILE
    advice = "Give another folder, or delete this one to prepare it anew"
    try:
        begun = read_json(file)
    except FileNotFoundError:
        present = [name for name in (MANIFEST_FILE, *_METADATA_FILES) if (folder / name).exists()]
        if present:
            raise UserError(
                f"{folder} has a {present[0]} of a dataset that was made in another way, or was copied without its "
                f"folder {PROGRESS_FOLDER}. {advice}"
            ) from None
        write_text(file, json.dumps(settings, indent=1) + "\n")
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}). {advice}") from error
    if not isinstance(begun, dict):
        raise UserError(f"{file} is damaged (it holds a {type(begun).__name__} in place of settings). {advice}")
    for name, value in settings.items():
        if begun.get(name) != value:
            was, is_now = (json.dumps(one) if isinstance(one, str | int) else "" for one in (begun.get(name), value))
            difference = f": {was} then, {is_now} now" if was and is_now and len(was) < 40 else ""
            raise UserError(f"{folder} was begun with another {name}{difference}. {advice}")


def withdraw(folder: pathlib.Path) -> None:
    """Removes the manifest and the metadata, so that the shards are not taken for a complete dataset.

    Args:
      folder: output of the preparation.

    Raises:
      OutputError: they cannot be removed.
    """
    try:
        for name in (MANIFEST_FILE, *_METADATA_FILES):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder / name, error) from error
