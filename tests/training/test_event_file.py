import pathlib
import struct

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from motion_vit.training.event_file import EventFile, _checksum


def events_of(folder: pathlib.Path) -> list[Event]:
    """What protocol buffers' own decoder reads from the only file of a folder."""
    (path,) = folder.iterdir()
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[12 + length + 4 :]
    return events


def test_every_field_is_read_as_it_was_written(tmp_path: pathlib.Path) -> None:
    # Lengths and steps of one byte and more.
    curves = {"a": 0.25, "validation/top1, größte": -1e30, "x" * 300: 0.1}
    file = EventFile(tmp_path / "events", from_step=299)
    for step in (0, 127, 128, 2**40):
        file.add(step, curves)
    file.close()
    version, start, *points = events_of(tmp_path / "events")
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (300, SessionLog.START)
    assert [event.step for event in points] == [0, 127, 128, 2**40]
    for event in points:
        assert {value.tag: value.simple_value for value in event.summary.value} == {
            name: np.float32(value) for name, value in curves.items()
        }
        assert version.wall_time <= event.wall_time <= version.wall_time + 60


def test_checksums_are_those_of_the_format() -> None:
    # CRC-32C of these digits is 0xE3069283 by RFC 3720's polynomial; turned by 15 bits, plus TFRecord's constant.
    turned = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
    assert _checksum(b"123456789") == struct.pack("<I", (turned + 0xA282EAD8) % 2**32)


def test_a_damaged_event_is_noticed_by_tensorboard(tmp_path: pathlib.Path) -> None:
    file = EventFile(tmp_path, from_step=0)
    for step in (1, 2):
        file.add(step, {"loss": 1.0})
    file.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for content, steps in ((whole, [1, 2]), (whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:], [1])):
        path.write_bytes(content)
        events = EventAccumulator(str(tmp_path))
        events.Reload()
        assert [event.step for event in events.Scalars("loss")] == steps


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        EventFile(tmp_path / "file" / "events", from_step=0)
