"""CRC-32 checksums of files, written with checkpoints and weights, and compared before these are read.

A CRC-32 notices every changed bit and every run of changed bits up to 32 long, and misses any other damage with a
probability of 2**-32. It is no protection against people. To read and compute it of
1 GB that the system has cached takes about half a second of a core.
"""

import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from motion_vit.files.json_file import read_json

CHECKSUMS_FILE = "checksums.json"
"""Checksums of the other files of a checkpoint, by their path in it."""

_ALGORITHM = "crc32"
_LARGEST_LIST = 64 * 2**20
_CHUNK = 2**20
_THREADS = 4

# Orbax writes these when it is done with everything else. The first holds the time of that among names and metrics.
_STEP_METADATA, _STEP_METADATA_TIME = "_CHECKPOINT_METADATA", "commit_timestamp_nsecs"
_WRITTEN_LATER = ("commit_success.txt",)


class Checksum(NamedTuple):
    """Size and checksum of a file.

    Attributes:
      size: bytes.
      crc32: CRC-32, as eight hexadecimal digits.
    """

    size: int
    crc32: str


def crc32_of(data: bytes) -> str:
    """Computes a CRC-32.

    Args:
      data: what it is of.

    Returns:
      Eight hexadecimal digits.
    """
    return f"{zlib.crc32(data):08x}"


def checksum_of(path: pathlib.Path) -> Checksum:
    """Reads a file and computes its checksum.

    Args:
      path: a regular file.

    Returns:
      Its size and checksum.

    Raises:
      OSError: it cannot be read.
    """
    size = crc = 0
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            size += count
            crc = zlib.crc32(buffer[:count], crc)
    return Checksum(size, f"{crc:08x}")


def damage(path: pathlib.Path, name: str, expected: Checksum) -> str:
    """Compares a file with what was written.

    Args:
      path: the file.
      name: what the answer calls it.
      expected: its size and checksum when it was written.

    Returns:
      What is wrong, as a clause; "" for an intact file.
    """
    return _difference(path, name, expected, checksum_of)


def write_checksums(folder: pathlib.Path) -> None:
    """Writes the checksums of all files of a checkpoint into it.

    Args:
      folder: a checkpoint that is complete but for its final name.

    Raises:
      OSError: a file cannot be read or written.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if name not in (CHECKSUMS_FILE, *_WRITTEN_LATER)]
    with ThreadPoolExecutor(_THREADS) as threads:
        found = list(threads.map(lambda name: _checksum_in_checkpoint(folder / name), names))
    files = {name: checksum._asdict() for name, checksum in zip(names, found, strict=True)}
    content = {"algorithm": _ALGORITHM, "files": files}
    with (folder / CHECKSUMS_FILE).open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())


def has_checksums(folder: pathlib.Path) -> bool:
    """Tells if a checkpoint was written with checksums; those of older versions were not.

    Args:
      folder: the checkpoint.
    """
    return (folder / CHECKSUMS_FILE).exists()


def damaged_files(folder: pathlib.Path, *, within: str = "", part: int = 0, parts: int = 1) -> list[str]:
    """Compares the files of a checkpoint with their checksums.

    Args:
      folder: a checkpoint with checksums.
      within: start of the paths to look at, such as "variables/"; "" for all.
      part: number of this process, which looks at its part of the files.
      parts: number of processes.

    Returns:
      What is wrong, a clause for each damaged file. Files without a checksum are ignored.
    """
    try:
        expected = _read(folder / CHECKSUMS_FILE)
    except (OSError, ValueError, RecursionError) as error:
        return [f"{CHECKSUMS_FILE} is no list of checksums ({error})"]
    names = [name for name in sorted(expected) if name.startswith(within)][part::parts]
    with ThreadPoolExecutor(_THREADS) as threads:
        differences: Iterable[str] = threads.map(
            lambda name: _difference(folder / name, name, expected[name], _checksum_in_checkpoint), names
        )
        return [difference for difference in differences if difference]


def read_checksum(value: Any) -> Checksum:
    """Reads a checksum from parsed JSON.

    Args:
      value: a mapping of the attributes of `Checksum`.

    Returns:
      The checksum.

    Raises:
      ValueError: it is no such mapping.
    """
    if not isinstance(value, Mapping) or value.keys() != set(Checksum._fields):
        raise ValueError(f"an entry has other fields than {' and '.join(Checksum._fields)}")
    checksum = Checksum(**value)
    if type(checksum.size) is not int or not isinstance(checksum.crc32, str):
        raise ValueError("a size is no number, or a checksum no text")
    return checksum


def _read(path: pathlib.Path) -> dict[str, Checksum]:
    if not path.is_file() or path.stat().st_size > _LARGEST_LIST:
        raise ValueError("it is not a file of a few megabytes")
    content = read_json(path)
    if not isinstance(content, Mapping) or content.get("algorithm") != _ALGORITHM:
        raise ValueError(f"its algorithm is not {_ALGORITHM}")
    files = content.get("files")
    if content.keys() != {"algorithm", "files"} or not isinstance(files, Mapping) or not files:
        raise ValueError("it names no files")
    if any(pathlib.PurePosixPath(name).is_absolute() or ".." in name.split("/") for name in files):
        raise ValueError("it names a file elsewhere")
    return {name: read_checksum(value) for name, value in files.items()}


def _difference(path: pathlib.Path, name: str, expected: Checksum, checksum: Any) -> str:
    try:
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if path.name != _STEP_METADATA and size != expected.size:
            return f"{name} has {size} bytes, but {expected.size} were written"
        found = checksum(path)
    except (OSError, ValueError, RecursionError) as error:
        return f"{name} cannot be read ({error})"
    if found == expected:
        return ""
    return f"{name} has other content than was written (CRC-32 {found.crc32} instead of {expected.crc32})"


def _checksum_in_checkpoint(path: pathlib.Path) -> Checksum:
    """Returns the checksum of a file of a checkpoint, without what Orbax adds to it when all others are written."""
    if path.name != _STEP_METADATA:
        return checksum_of(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError("it holds no named fields")
    stable = json.dumps(content | {_STEP_METADATA_TIME: None}, sort_keys=True).encode()
    return Checksum(len(stable), crc32_of(stable))
