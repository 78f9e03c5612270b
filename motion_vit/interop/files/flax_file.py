"""Reads files of Flax's `flax.serialization`: msgpack of nested dictionaries of arrays.

Nothing but dictionaries, arrays and plain values is known, and no class is made of anything: what else a file holds is
an error. An array is found, checked against the bytes that are there, and read on request. Time and memory for all else
are bounded by the limits below.

Source: `flax/serialization.py` of google/flax (`msgpack_serialize`), and msgpack's specification.
"""

import contextlib
import math
import os
import pathlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike

from motion_vit.files.regular_file import open_regular_file
from motion_vit.interop.files.stored_tensor import DamagedFileError, StoredTensor, join_tensors

_MOST_VALUES = 100_000
_DEEPEST = 32
_LONGEST_TEXT = 1000
_MOST_AXES = 32

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
"""Flax's own kinds of values among msgpack's extensions."""

_DTYPES: Mapping[str, DTypeLike] = {
    **{name: np.dtype(name) for name in ("float64", "float32", "float16", "bool")},
    **{f"{kind}int{bits}": np.dtype(f"{kind}int{bits}") for kind in ("", "u") for bits in (8, 16, 32, 64)},
    "bfloat16": jnp.bfloat16,
}

_CHUNKED = "__msgpack_chunked_array__"
"""Marks the dictionary that stands for an array above one gibibyte: its shape, and its numbers in pieces."""

_WEIGHTS = (("optimizer", "target"), ("params",))
"""Where the weights lie in the state of a training: in that of scenic's older code and in that of newer codes."""

_PLAIN = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"} | {
    **{0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_LENGTHS = {1: ">B", 2: ">H", 4: ">I"}
_TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_LISTS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
"""The first byte of a value of each kind, and the bytes that tell its length."""


@contextlib.contextmanager
def open_flax_file(path: pathlib.Path) -> Iterator[dict[str, StoredTensor]]:
    """Opens a file of Flax; weights are read on request, while it is open.

    Of the whole state of a training, the weights alone are taken.

    Args:
      path: the file.

    Yields:
      Weights by name, nested names joined by "/".

    Raises:
      DamagedFileError: the file is cut off, contradicts itself, or holds anything but dictionaries, arrays and plain
        values. OSError: it cannot be read.
    """
    with open_regular_file(path) as file:
        content = _Reader(file, os.fstat(file.fileno()).st_size).whole()
        if not isinstance(content, dict):
            raise DamagedFileError("it holds no dictionary of arrays, as flax.serialization writes")
        yield dict(_flat(_weights(content)))


def _weights(content: dict[str, Any]) -> dict[str, Any]:
    """Finds the weights in the state of a training."""
    for path in _WEIGHTS:
        inner: Any = content
        for name in path:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            return _weights(inner)
    return content


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, StoredTensor]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}/")
        elif isinstance(value, StoredTensor):
            yield f"{before}{name}", value


class _Reader:
    """Parses the values of a file, one behind the other."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._values = 0

    def whole(self) -> Any:
        """Parses the file, which is one value."""
        content = self._value(0)
        if self._file.tell() != self._size:
            raise DamagedFileError("something follows the end of its dictionary")
        return content

    def _value(self, depth: int) -> Any:
        """Parses a value: dictionaries, numbers and texts as they are, `StoredTensor` for arrays."""
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise DamagedFileError(f"it has more than {_MOST_VALUES} values, or more than {_DEEPEST} levels")
        kind = self._take(1)[0]
        if (count := self._map_length(kind)) is not None:
            return self._map(count, depth)
        if (extension := self._extension_length(kind)) is not None:
            return self._extension(extension)
        if (length := self._text_length(kind)) is not None:
            return self._text(length)
        return self._plain(kind)

    def _map(self, count: int, depth: int) -> Any:
        found: dict[str, Any] = {}
        for _ in range(count):
            length = self._text_length(self._take(1)[0])
            if length is None:
                raise DamagedFileError("a key of a dictionary is not a name")
            name = self._text(length)
            found[name] = self._value(depth + 1)
        return _joined(found) if _CHUNKED in found else found

    def _extension(self, length: int) -> Any:
        kind = self._take(1)[0]
        end = self._file.tell() + length
        if end > self._size:
            raise DamagedFileError("it ends before its arrays do")
        if kind == _COMPLEX:
            self._file.seek(end)
            return None
        if kind not in (_ARRAY, _SCALAR):
            raise DamagedFileError(f"it holds an extension of kind {kind}, which Flax does not write")
        array = self._array(end)
        self._file.seek(end)
        return array

    def _array(self, end: int) -> StoredTensor:
        """Parses shape, dtype and bytes of an array, and passes over the bytes."""
        if self._list_length() != 3:
            raise DamagedFileError("an array has no shape, dtype and bytes")
        axes = self._list_length()
        if axes > _MOST_AXES:
            raise DamagedFileError(f"an array has {axes} axes")
        shape = tuple(self._plain(self._take(1)[0]) for _ in range(axes))
        if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in shape):
            raise DamagedFileError("the shape of an array is no tuple of whole numbers")
        kind = self._take(1)[0]
        name = self._text(self._text_length(kind) or self._bytes_length(kind) or 0)
        if name not in _DTYPES:
            raise DamagedFileError(f"an array has the dtype {name!r}")
        dtype = np.dtype(_DTYPES[name])
        length = self._bytes_length(self._take(1)[0])
        begin = self._file.tell()
        if length is None or begin + length != end or length != math.prod(shape) * dtype.itemsize:
            raise DamagedFileError(f"an array {shape} of {name} has another number of bytes")

        def read() -> np.ndarray:
            self._file.seek(begin)
            return np.frombuffer(self._take(length), dtype).reshape(shape)

        return StoredTensor(shape, dtype, read)

    def _plain(self, kind: int) -> Any:
        if kind <= 0x7F:
            return kind
        if kind >= 0xE0:
            return kind - 0x100
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _PLAIN:
            return struct.unpack(_PLAIN[kind], self._take(struct.calcsize(_PLAIN[kind])))[0]
        raise DamagedFileError(f"it holds a value of msgpack's kind {kind:#x}, which is no dictionary and no array")

    def _text(self, length: int) -> str:
        if length > _LONGEST_TEXT:
            raise DamagedFileError(f"it has a name of {length} letters")
        return self._take(length).decode()

    def _text_length(self, kind: int) -> int | None:
        return kind & 0x1F if kind & 0xE0 == 0xA0 else self._length(_TEXTS, kind)

    def _bytes_length(self, kind: int) -> int | None:
        return self._length(_BYTES, kind)

    def _map_length(self, kind: int) -> int | None:
        return kind & 0x0F if kind & 0xF0 == 0x80 else self._length(_MAPS, kind)

    def _list_length(self) -> int:
        kind = self._take(1)[0]
        length = kind & 0x0F if kind & 0xF0 == 0x90 else self._length(_LISTS, kind)
        if length is None:
            raise DamagedFileError("an array has no shape")
        return length

    def _extension_length(self, kind: int) -> int | None:
        return _FIXED_EXTENSIONS.get(kind, self._length(_EXTENSIONS, kind))

    def _length(self, kinds: Mapping[int, int], kind: int) -> int | None:
        if kind not in kinds:
            return None
        length: int = struct.unpack(_LENGTHS[kinds[kind]], self._take(kinds[kind]))[0]
        return length

    def _take(self, count: int) -> bytes:
        if count > self._size - self._file.tell():
            raise DamagedFileError("it ends too early")
        return self._file.read(count)


def _joined(found: Mapping[str, Any]) -> StoredTensor:
    """Makes one array of the pieces of a long one."""
    shape, chunks = (
        [value[str(place)] for place in range(len(value)) if str(place) in value] if isinstance(value, dict) else []
        for value in (found.get("shape"), found.get("chunks"))
    )
    if not chunks or not all(isinstance(chunk, StoredTensor) and len(chunk.shape) == 1 for chunk in chunks):
        raise DamagedFileError("an array in pieces has no pieces")
    if len({chunk.dtype for chunk in chunks}) > 1 or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise DamagedFileError("an array in pieces has no shape, or pieces of several dtypes")
    whole = join_tensors(chunks)
    if whole.shape[0] != math.prod(shape) or len(shape) > _MOST_AXES:
        raise DamagedFileError(f"an array {tuple(shape)} is in pieces of {whole.shape[0]} numbers")
    return StoredTensor(tuple(shape), whole.dtype, lambda: whole.read().reshape(shape))
