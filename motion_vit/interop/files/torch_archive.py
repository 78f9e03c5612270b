"""Reads files of `torch.save` without PyTorch: zip archives, and the format from before PyTorch 1.6."""

import contextlib
import io
import pathlib
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from motion_vit.files.regular_file import open_regular_file
from motion_vit.interop.files.stored_tensor import DamagedFileError
from motion_vit.interop.files.torch_pickle import LARGEST_PICKLE, Storage, read_pickle

_ZIP_START = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEAD = 3
"""Pickles before the content: the magic number, the version of the form, and what the machine's numbers look like."""


@contextlib.contextmanager
def open_torch_file(path: pathlib.Path) -> Iterator[Any]:
    """Opens a file of `torch.save`; weights are read on request, while it is open.

    Args:
      path: the file.

    Yields:
      The saved object: mappings, lists, tuples, numbers and text, `StoredTensor` for tensors, `torch_pickle.Symbol` for
      everything else.

    Raises:
      MoreThanWeightsError: the file refers to objects that no state dict needs; none of them was imported or called.
      DamagedFileError: the file is cut off, contradicts itself or is not a file of `torch.save`. OSError,
        zipfile.BadZipFile: the file cannot be read.
    """
    with open_regular_file(path) as file:
        size = path.stat().st_size
        if not zipfile.is_zipfile(file):
            file.seek(0)
            if file.read(4) == _ZIP_START:
                raise DamagedFileError("the end of the archive is missing")
            yield _read_legacy(file, size)
            return
        with zipfile.ZipFile(file) as archive:
            yield _read_archive(archive, size)


def _read_archive(archive: zipfile.ZipFile, size: int) -> Any:
    # They lie in a folder that is named after the file.
    members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
    if "data.pkl" not in members:
        raise DamagedFileError("the archive has no member data.pkl")
    if "constants.pkl" in members:
        raise DamagedFileError("it holds a TorchScript program; torch.save(model.state_dict(), path) saves weights")
    big_endian = "byteorder" in members and _read_member(archive, members["byteorder"], 16) == b"big"

    def read_storage(storage: Storage) -> np.ndarray:
        member = members.get(f"data/{storage.key}")
        if member is None:
            raise DamagedFileError(f"the numbers {storage.key} of a tensor are absent")
        return _numbers(_read_member(archive, member, size), storage, big_endian=big_endian)

    return read_pickle(io.BytesIO(_read_member(archive, members["data.pkl"], LARGEST_PICKLE)), read_storage)[0]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """Reads an uncompressed member, as `torch.save` writes it: compressed data may be of any size."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise DamagedFileError(f"its member {member.filename} is compressed, which torch.save never does")
    if member.file_size > limit:
        raise DamagedFileError(f"its member {member.filename} claims {member.file_size} bytes; {limit} can be")
    return archive.read(member)


def _numbers(data: bytes, storage: Storage, *, big_endian: bool) -> np.ndarray:
    """Returns the numbers of a storage, as many as it claims."""
    dtype = storage.dtype.newbyteorder(">") if big_endian else storage.dtype
    if len(data) < storage.size * dtype.itemsize:
        raise DamagedFileError(f"it claims {storage.size} numbers of {dtype} for a tensor, which has {len(data)} bytes")
    return np.frombuffer(data, dtype, storage.size)


def _read_legacy(file: BinaryIO, file_size: int) -> Any:
    """Reads consecutive pickles; the storages follow, each with its length and its numbers."""
    places: dict[str, int] = {}

    def read_storage(storage: Storage) -> np.ndarray:
        if storage.key not in places:
            raise DamagedFileError(f"the numbers {storage.key} of a tensor are absent")
        file.seek(places[storage.key])
        # A claim beyond the file's end must not become an allocation.
        return _numbers(file.read(min(storage.size * storage.dtype.itemsize, file_size)), storage, big_endian=False)

    file.seek(0)
    stream = io.BytesIO(file.read(LARGEST_PICKLE))
    if read_pickle(stream, read_storage)[0] != _LEGACY_MAGIC:
        raise DamagedFileError("it does not begin as a file of torch.save does")
    for _ in range(_LEGACY_HEAD - 1):
        read_pickle(stream, read_storage)
    content, storages = read_pickle(stream, read_storage)
    keys, _ = read_pickle(stream, read_storage)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise DamagedFileError("its list of weights is not that of the weights before it")
    position = stream.tell()
    for key in keys:
        file.seek(min(position, file_size))  # a claim beyond the file's end may be more than a file can have
        head = file.read(8)
        if len(head) < 8:
            raise DamagedFileError("it ends before its weights do")
        places[key] = position + 8
        position += 8 + struct.unpack("<Q", head)[0] * storages[key].dtype.itemsize
    return content
