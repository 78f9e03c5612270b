"""Frames with their times, and what gives them."""

import dataclasses
from collections.abc import Generator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclasses.dataclass(frozen=True, eq=False)
class TimedFrame:
    """A frame of a stream.

    Attributes:
      seconds: when it is shown, since the first frame of the stream; never less than for the frame before.
      picture: RGB, upright.
      duration: seconds for which it is shown; 0.0 if unknown.
      after_gap: whether frames are missing before it, because a connection was lost or a clock has jumped.
    """

    seconds: float
    picture: UInt8[np.ndarray, "h w 3"]
    duration: float = 0.0
    after_gap: bool = False


@runtime_checkable
class FrameSource(Protocol):
    """A source of frames.

    Attributes:
      name: for messages; an address without its password.
      is_live: whether it gives frames when it likes, so that who is slower than it misses some.
    """

    name: str
    is_live: bool

    def frames(self, short_side: int) -> Generator[TimedFrame, None, None]:
        """Opens the source, gives its frames, and closes it.

        Args:
          short_side: frames whose shorter side is longer than this may be scaled down to it.

        Yields:
          The frames, in order.

        Raises:
          UserError: it cannot be opened or read, or holds no frame.
        """

    def interrupt(self) -> None:
        """Has `frames` end as soon as it can; called from another thread."""
