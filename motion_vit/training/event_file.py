"""Event files, which TensorBoard reads.

Such a file is a row of TFRecords, each an `Event` of TensorFlow's `event.proto` in the encoding of protocol buffers;
curves need seven of its fields. They are written here, because tensorboardX imports PyTorch wherever it is installed,
which takes as long as all else that training imports, and writes in a thread: when a full disk ends that thread, the
training that fills its queue waits for ever.
"""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Mapping

_VERSION = b"brain.Event:2"
# Numbers of fields, and how their values are encoded, of the messages in event.proto and summary.proto.
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_EVENT_WALL_TIME, _EVENT_STEP, _EVENT_FILE_VERSION, _EVENT_SUMMARY, _EVENT_SESSION_LOG = 1, 2, 3, 5, 7
_SUMMARY_VALUE, _VALUE_TAG, _VALUE_SIMPLE_VALUE = 1, 1, 2
_SESSION_LOG_STATUS, _START = 1, 1


class EventFile:
    """A new event file. What is added is on disk at once.

    Args:
      folder: where it goes; made if absent.
      from_step: step that the run continues from; TensorBoard drops what other files of the folder say of later ones.

    Raises:
      OSError: it cannot be written.
    """

    def __init__(self, folder: pathlib.Path, from_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time_ns()
        # TensorBoard reads the files of a folder in the order of their names.
        path = folder / f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}"
        self._file = path.open("wb")
        self._add(_bytes(_EVENT_FILE_VERSION, _VERSION))
        start = _varint(_SESSION_LOG_STATUS, _START)
        self._add(_varint(_EVENT_STEP, from_step + 1) + _bytes(_EVENT_SESSION_LOG, start))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of some curves.

        Args:
          step: training steps done.
          values: number by the curve's name.

        Raises:
          OSError: they cannot be written.
        """
        points = (
            _bytes(_VALUE_TAG, name.encode()) + _key(_VALUE_SIMPLE_VALUE, _FLOAT) + struct.pack("<f", value)
            for name, value in values.items()
        )
        summary = b"".join(_bytes(_SUMMARY_VALUE, point) for point in points)
        self._add(_varint(_EVENT_STEP, step) + _bytes(_EVENT_SUMMARY, summary))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _add(self, fields: bytes) -> None:
        """Writes an event with these fields and the time."""
        event = _key(_EVENT_WALL_TIME, _DOUBLE) + struct.pack("<d", time.time()) + fields
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))
        self._file.flush()
        os.fsync(self._file.fileno())


def _key(field: int, encoding: int) -> bytes:
    return bytes([field << 3 | encoding])


def _varint(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _base128(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, _BYTES) + _base128(len(value)) + value


def _base128(value: int) -> bytes:
    """Groups of seven bits, the lowest first; the highest bit of a byte says that more follow."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _checksum_table() -> tuple[int, ...]:
    """The effect of each byte on CRC-32C, whose polynomial is 0x82F63B78 with the lowest bit first."""
    table = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return tuple(table)


_TABLE = _checksum_table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, turned and shifted as TFRecords do so that checksums of checksums are sound."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = remainder >> 8 ^ _TABLE[(remainder ^ byte) & 0xFF]
    remainder ^= 0xFFFFFFFF
    turned = remainder >> 15 | remainder << 17
    return struct.pack("<I", turned + 0xA282EAD8 & 0xFFFFFFFF)
