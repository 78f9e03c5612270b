"""Chooses what gives the frames of a source: an iterator, an open container, a file, a camera or an address."""

import contextlib
import numbers
import operator
import os
from collections.abc import Iterable
from typing import Any

import av.container
import numpy as np

from motion_vit.data.streams.address import is_address, parse_address
from motion_vit.data.streams.camera import Camera
from motion_vit.data.streams.given_frames import GivenFrames
from motion_vit.data.streams.network_stream import NetworkStream
from motion_vit.data.streams.timed_frame import FrameSource
from motion_vit.data.streams.video_file import OpenContainer, VideoFile
from motion_vit.errors import UserError
from motion_vit.ranges import Number, Range, Whole, problems

RATE = Number(0, 1_000_000, above=True)
"""Frames per second."""

WAIT = Number(0, 1_000_000)
"""Seconds without new bytes after which a file has ended."""

TIMEOUT = Number(0, 86_400, above=True)
"""Seconds to wait for a connection, or for a piece."""

ATTEMPTS = Whole(0, 1_000_000)
"""Attempts in a row to connect again."""

Source = Iterable[Any] | av.container.InputContainer | str | os.PathLike[str] | int
"""What gives frames; see `motion_vit.stream`."""


def frame_source(
    source: Source,
    *,
    frame_rate: float | None = None,
    wait: float = 0.0,
    timeout: float = 10.0,
    attempts: int = 5,
) -> FrameSource:
    """Chooses what gives the frames of a source; nothing is opened yet.

    Args:
      source: frames, an open container, the path of a file, the number of a camera, or an address.
      frame_rate: of frames without times.
      wait: seconds without new bytes after which a file has ended; 0.0 takes it as it is.
      timeout: seconds to wait for a connection, and for each piece.
      attempts: in a row, to connect again to an address.

    Returns:
      What gives them.

    Raises:
      UserError: it is of another kind, an address is not followed, or a number is out of range.
    """
    values: dict[str, Any] = {"wait": wait, "timeout": timeout, "attempts": attempts}
    ranges: dict[str, Range] = {"wait": WAIT, "timeout": TIMEOUT, "attempts": ATTEMPTS}
    rate: Any = frame_rate
    if rate is not None:
        if not isinstance(rate, int) and isinstance(rate, numbers.Real):
            # Containers have theirs as fractions, and arrays as numbers of NumPy.
            with contextlib.suppress(OverflowError):
                rate = float(rate)
        values["frame_rate"], ranges["frame_rate"] = rate, RATE
    if found := problems(values, ranges):
        raise UserError(f"{found[0]}.")
    if isinstance(source, av.container.InputContainer):
        return OpenContainer(source)
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        if isinstance(text, str):
            if is_address(text) and not os.path.lexists(text):
                return NetworkStream(parse_address(text), timeout, attempts)
            return VideoFile(text, wait)
    elif isinstance(source, int | np.integer) and not isinstance(source, bool):
        if source < 0:
            raise UserError(f"the camera is given as {source}; cameras have the numbers 0, 1, 2 and so on.")
        return Camera(operator.index(source))
    elif isinstance(source, Iterable) and not isinstance(source, bytes | bytearray):
        return GivenFrames(source, rate)
    raise UserError(
        f"the source is given as {type(source).__name__}, but must be the path of a video, the number of a camera, an "
        "http://, https:// or rtsp:// address, a container of av.open, or an iterator of frames."
    )
