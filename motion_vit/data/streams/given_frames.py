"""Takes frames from an iterator of arrays."""

import contextlib
import itertools
import math
import numbers
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from motion_vit.counts import counted
from motion_vit.data.streams.timed_frame import TimedFrame
from motion_vit.errors import UserError
from motion_vit.outside_text import visible

_END = object()


class GivenFrames:
    """The frames of an iterator.

    Args:
      items: RGB arrays, uint8 `[h, w, 3]`; without a frame rate pairs of seconds and such an array. An iterator with a
        method `close`, such as a generator, is closed at the end.
      frame_rate: frames per second; None where pairs are given.

    Attributes:
      name: for messages.
      is_live: False: the iterator waits for who takes its frames.
    """

    name = "the frames"
    is_live = False

    def __init__(self, items: Iterable[Any], frame_rate: float | None) -> None:
        self._items, self._rate = items, frame_rate
        self._stopped = False

    def frames(self, short_side: int) -> Generator[TimedFrame, None, None]:
        """Takes the frames; see `FrameSource`. The iterator runs in the thread that takes them."""
        first = last = 0.0
        given = 0
        with contextlib.ExitStack() as stack:
            close = getattr(self._items, "close", None)
            if close is not None:
                stack.callback(lambda: _ask(close, given=given))
            items = _ask(iter, self._items, given=0)
            for number in itertools.count():
                item = _ask(next, items, _END, given=given)
                if item is _END:
                    return
                given += 1
                seconds, picture = self._parts(item, number)
                if not number:
                    first = last = seconds
                if not last <= seconds < math.inf:
                    raise UserError(
                        f"frame {number} of the frames comes at {seconds:g} s, after one at {last:g} s; times must be "
                        "numbers that never decrease."
                    )
                last = seconds
                yield TimedFrame(seconds - first, picture, 1 / self._rate if self._rate else 0.0)
                if self._stopped:
                    return

    def interrupt(self) -> None:
        """Ends after the frame that is waited for: nothing can end an iterator that is at work."""
        self._stopped = True

    def _parts(self, item: Any, number: int) -> tuple[float, UInt8[np.ndarray, "h w 3"]]:
        if self._rate is None:
            if not isinstance(item, tuple | list) or len(item) != 2 or not isinstance(item[0], numbers.Real):
                given = type(item).__name__
                if isinstance(item, tuple | list):
                    given += (
                        f" of {', '.join(type(part).__name__ for part in item[:3])}{', ...' if len(item) > 3 else ''}"
                    )
                raise UserError(
                    f"frame {number} of the frames is given as {given}, but without a frame_rate each must be a pair: "
                    "seconds, and an array of RGB values."
                )
            return _seconds(item[0]), _checked(item[1], number)
        return number / self._rate, _checked(item, number)


def _ask(function: Callable[..., Any], *arguments: Any, given: int) -> Any:
    """Calls what belongs to the iterator, and tells its errors as its own: they are no fault of the frames."""
    try:
        return function(*arguments)
    except UserError:
        raise
    except Exception as error:
        message = visible(str(error)) or "no message"
        raise UserError(
            f"the iterator of frames has raised {type(error).__name__} after {counted(given, 'frame')}: {message}"
        ) from error


def _seconds(given: numbers.Real) -> float:
    try:
        return float(given)
    except OverflowError:  # a whole number beyond all floats
        return math.inf


def _checked(picture: Any, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """Checks that something is a picture."""
    if not isinstance(picture, np.ndarray):
        given = type(picture).__name__
    elif picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        given = f"{picture.dtype} {list(picture.shape)}"
    else:
        return picture
    raise UserError(f"frame {number} of the frames is {given}, but must be an array of RGB values, uint8 [h, w, 3].")
