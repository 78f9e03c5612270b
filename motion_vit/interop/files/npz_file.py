"""Reads files of `numpy.savez`, and checks arrays before reading them."""

import contextlib
import io
import math
import pathlib
import tokenize
import zipfile
from collections.abc import Iterator

import numpy as np

from motion_vit.interop.files.stored_tensor import DamagedFileError, StoredTensor

_LONGEST_HEADER = 2**16
"""Bytes. That of an array without fields takes 128."""

_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextlib.contextmanager
def open_npz(path: pathlib.Path) -> Iterator[dict[str, StoredTensor]]:
    """Opens an npz file; arrays are read on request, while it is open.

    Args:
      path: the file.

    Yields:
      Name to array. Only headers have been read.

    Raises:
      DamagedFileError: an array is of Python objects, or header and size of an array contradict each other.
      OSError, ValueError, zipfile.BadZipFile: the file is no npz file.
    """
    with zipfile.ZipFile(path) as archive:
        yield {member.filename.removesuffix(".npy"): _open(archive, member) for member in archive.infolist()}


def _open(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StoredTensor:
    with archive.open(member) as stream:
        # NumPy's readers would read a header of gigabytes before they find it too long.
        head = io.BytesIO(stream.read(_LONGEST_HEADER))
    version = np.lib.format.read_magic(head)
    if version not in _HEADER_READERS:
        raise DamagedFileError(f"its member {member.filename} has a header of version {version}")
    try:
        shape, columns_first, dtype = _HEADER_READERS[version](head)
    except (IndexError, MemoryError, TypeError, tokenize.TokenError) as error:
        # NumPy has the header parsed as Python's literals, and lets what comes of that through.
        raise DamagedFileError(f"its member {member.filename} has a header that cannot be read ({error})") from error
    if dtype.hasobject:
        raise DamagedFileError(f"its member {member.filename} holds Python objects, which may be code, not numbers")
    size, begin = math.prod(shape) * dtype.itemsize, head.tell()
    if member.file_size != begin + size:
        raise DamagedFileError(
            f"its member {member.filename} has {member.file_size} bytes, but an array {shape} of {dtype} takes "
            f"{begin + size}"
        )

    def read() -> np.ndarray:
        return np.frombuffer(archive.read(member), dtype, offset=begin).reshape(
            shape, order="F" if columns_first else "C"
        )

    return StoredTensor(shape, dtype, read)
