"""Cuts the test views of overlapping windows out of frames that come one after the other."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.augmentation.crops import resize_frames, resize_short_side
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.window_views import ROUNDING, Windows, WindowViews, cut_views, moment, plan_window
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.timeline import Timeline

MOST_BYTES = 2**30
"""Bytes of the frames that are kept for a window; they are scaled to the shorter side that the model takes."""


class WindowStream:
    """Cuts windows as soon as their last frame is known to be the last: when a frame behind them comes.

    The windows and their views are those that `WindowReader` gives of a file with these frames, the last one included.
    Frames are kept from the start of the next window on, once for all windows that show them.

    Args:
      name: of the stream, for messages.
      options: frames, size, sampling and stride; augmentations are ignored.
      windows: their length and places.
      clips: views spread over the time of each window.
      crops: crops of each of them, 1 or 3.

    Attributes:
      done: whether the end of the windows is reached, so that no more frames are needed.
    """

    def __init__(self, name: str, options: ClipOptions, windows: Windows, *, clips: int = 1, crops: int = 1) -> None:
        self._name, self._options, self._windows = name, options, windows
        self._clips, self._crops = clips, crops
        self._times: list[float] = []
        self._pictures: list[UInt8[np.ndarray, "1 h w 3"]] = []
        self._next = 0
        self._bytes = 0
        self._size: tuple[int, int] | None = None
        self.done = False

    def add(self, seconds: float, picture: UInt8[np.ndarray, "h w 3"]) -> Iterator[WindowViews]:
        """Takes a frame.

        Args:
          seconds: the second of the stream at which it is shown, not before that of the frame before.
          picture: RGB, upright, of any size.

        Yields:
          The windows that end now.

        Raises:
          VideoDecodeError: its time is too late for any video, or the frames of a window need too much memory.
        """
        if seconds > MOST_SECONDS:
            raise VideoDecodeError(self._name, f"its timestamps span {seconds:g} s; the stream is damaged")
        if seconds < self._windows.start - ROUNDING or self.done:
            return
        self._keep(seconds, picture)
        if self._windows.end is not None and seconds >= self._windows.end:
            yield from self.end(self._windows.end)
            return
        while self._start() + self._windows.seconds - ROUNDING <= seconds:
            yield from self._cut(None)
            self._skip_empty(seconds)

    def end(self, seconds: float) -> Iterator[WindowViews]:
        """Ends the stream.

        Args:
          seconds: the second at which its last frame ends.

        Yields:
          The windows that are left. The last of them ends here.
        """
        if self.done or not self._times:
            return
        self.done = True
        end = seconds if self._windows.end is None else min(seconds, self._windows.end)
        while self._next < self._windows.count(end):
            yield from self._cut(end)

    def _keep(self, seconds: float, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        scaled = resize_short_side(picture[None], self._options.size)
        self._size = self._size or (scaled.shape[1], scaled.shape[2])
        scaled = resize_frames(scaled, *self._size)
        self._times.append(seconds)
        self._pictures.append(scaled)
        self._bytes += scaled.nbytes
        if self._bytes > MOST_BYTES:
            raise VideoDecodeError(
                self._name,
                f"the {len(self._times)} frames of a window of {self._windows.seconds:g} s are more than "
                f"{MOST_BYTES / 2**30:g} GiB; choose a shorter window, or give fewer frames a second",
            )

    def _skip_empty(self, seconds: float) -> None:
        """Leaves out the windows between the frames before and the newest one, however many they are."""
        if len(self._times) == 1:
            passed = (seconds - self._windows.start - self._windows.seconds) / self._windows.hop
            self._next = max(self._next, int(passed) - 1)

    def _start(self) -> float:
        return moment(np.asarray(self._times), self._windows.start + self._next * self._windows.hop)

    def _cut(self, end: float | None) -> Iterator[WindowViews]:
        """Cuts the next window, unless no frame is shown in it, and lets go of the frames that only it has needed."""
        times = np.asarray(self._times)
        start = self._start()
        stop = moment(times, start + self._windows.seconds)
        known = times[-1] if end is None else end
        timeline = Timeline(len(times), tuple(self._times), 0.0, known, 0)
        plan = plan_window(
            self._name, timeline, times, self._options, (start, stop if end is None else min(stop, end)), self._clips
        )
        self._next += 1
        if plan is not None:
            frames = [self._pictures[index] for index in plan.frames.tolist()]
            yield WindowViews(plan.start, plan.end, cut_views(frames, self._options.size, self._clips, self._crops))
        following = self._windows.start + self._next * self._windows.hop
        passed = int(np.searchsorted(times, following - ROUNDING))
        self._bytes -= sum(picture.nbytes for picture in self._pictures[:passed])
        del self._times[:passed], self._pictures[:passed]
