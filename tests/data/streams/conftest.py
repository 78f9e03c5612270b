"""Small videos that can be joined at any place, and a quick way of connecting again."""

import pathlib

import numpy as np
import pytest
from small_videos import ENCODINGS, decode_all, encode, moving_texture

from motion_vit.data.streams import lost_connection


@pytest.fixture(scope="session")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two seconds of video as an MPEG transport stream."""
    folder = tmp_path_factory.mktemp("stream")
    return encode(folder / "video.ts", ENCODINGS["h264 in a transport stream"], moving_texture(height=48))


@pytest.fixture(scope="session")
def pictures(transport_stream: pathlib.Path) -> np.ndarray:
    """Its pictures."""
    return decode_all(transport_stream)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_connection, "_FIRST_PAUSE", 0.01)
