import pathlib

import pytest

from motion_vit.files.json_file import read_json


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"9" * 5000, "4300"),
        (b"\xff\xfe{}", "utf-8"),
        (b"", "Expecting value"),
        (b"{} {}", "Extra data"),
    ],
)
def test_whatever_is_no_json_is_a_value_error(content: bytes, reason: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_json(path)


def test_a_link_to_a_device_is_refused_before_it_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file.json").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="It is a device, not a regular file"):
        read_json(tmp_path / "file.json")
