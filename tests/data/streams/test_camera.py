"""Cameras: one that stands in for a real one, and one that is not there."""

import pathlib
import time

import numpy as np
import pytest

from motion_vit import UserError
from motion_vit.data.streams import camera
from motion_vit.data.streams.frame_source import frame_source


class Capture:
    """A camera that gives five blue pictures, in OpenCV's order of channels, and then none."""

    left = 5
    released = False

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.01)
        self.left -= 1
        picture = np.zeros((8, 10, 3), np.uint8)
        picture[..., 0] = 255
        return (True, picture) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> Capture:
    """The camera that every number leads to."""
    capture = Capture()
    monkeypatch.setattr(camera.Camera, "_opened", lambda _: capture)
    return capture


def test_pictures_are_rgb_with_the_times_of_their_arrival(capture: Capture) -> None:
    frames = frame_source(0).frames(8)
    found = [next(frames) for _ in range(5)]
    assert found[0].picture[0, 0].tolist() == [0, 0, 255]
    seconds = np.array([frame.seconds for frame in found])
    assert seconds[0] == 0
    assert np.diff(seconds).min() >= 0.01
    with pytest.raises(UserError, match="camera 0 gives no more pictures"):
        next(frames)
    assert capture.released


def test_it_is_released_when_nobody_looks_any_more(capture: Capture) -> None:
    source = frame_source(np.int64(0))
    frames = source.frames(8)
    next(frames)
    source.interrupt()
    assert list(frames) == []
    assert capture.released


def test_a_camera_that_is_not_there_is_told_without_a_word_of_others(capfd: pytest.CaptureFixture[str]) -> None:
    absent = next(number for number in range(50, 99) if not pathlib.Path(f"/dev/video{number}").exists())
    with pytest.raises(UserError, match=f"there is no camera {absent}, or it cannot be opened: check that it is conn"):
        next(frame_source(absent).frames(8))
    assert capfd.readouterr() == ("", "")
