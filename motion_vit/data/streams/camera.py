"""Takes frames from a camera of this machine, with OpenCV."""

import pathlib
import sys
import time
from collections.abc import Generator

import cv2
import numpy as np

from motion_vit.data.streams.timed_frame import TimedFrame
from motion_vit.errors import UserError


class Camera:
    """A camera. The time of a frame is when it arrives: drivers count in ways of their own.

    Args:
      index: number of the camera, from 0.

    Attributes:
      name: for messages.
      is_live: True.
    """

    is_live = True

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        self._index = index
        self._stopped = False

    def frames(self, short_side: int) -> Generator[TimedFrame, None, None]:
        """Takes its frames until it is interrupted; see `FrameSource`."""
        capture = self._opened()
        try:
            first: float | None = None
            while not self._stopped:
                was_read, picture = capture.read()
                now = time.monotonic()
                if not was_read:
                    raise UserError(
                        f"{self.name} gives no more pictures: it was unplugged, or another program took it."
                    )
                first = now if first is None else first
                yield TimedFrame(now - first, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
        finally:
            capture.release()

    def interrupt(self) -> None:
        """Ends after the next frame."""
        self._stopped = True

    def _opened(self) -> "cv2.VideoCapture":
        # OpenCV writes its own complaints about an absent one to the terminal.
        device = pathlib.Path(f"/dev/video{self._index}")
        if not sys.platform.startswith("linux") or device.exists():
            capture = cv2.VideoCapture(self._index)
            if capture.isOpened():
                return capture
            capture.release()
        raise UserError(
            f"there is no {self.name}, or it cannot be opened: check that it is connected, that no other program uses "
            f"it, and the permissions of {device} on Linux. The first camera has the number 0."
        )
