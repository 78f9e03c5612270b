"""Cuts the test views of overlapping windows of a long video, whose frames are decoded once for all of them."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from jaxtyping import Int, UInt8

from motion_vit.data.augmentation.crops import crop_views, resize_short_side
from motion_vit.data.batches.batch import settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.batches.frame_clock import clock_of, end_of
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.data.video.container import decode_packet, demux, open_video
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.decoding import RgbConverter
from motion_vit.data.video.jpeg_frames import find_jpegs
from motion_vit.data.video.probing import NO_TIMES, check_window, frame_window
from motion_vit.data.video.timeline import read_timeline
from motion_vit.errors import UserError
from motion_vit.ranges import Number, problems

WINDOW = Number(0.001, MOST_SECONDS)
"""Seconds of a window, or from one to the next."""

# Seconds by which a sum of floats may miss the time of a frame: 3 * 0.1 is more than 0.3.
_ROUNDING = 1e-8


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a video: of equal length, at equal distances.

    Attributes:
      seconds: length of a window.
      hop: seconds from the start of a window to that of the next, at most `seconds`.
      start: the second of the video at which the first starts.
      end: the second of the video that none goes beyond; None for its end.
    """

    seconds: float
    hop: float
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          UserError: one is out of range, the hop is longer than a window, or the end comes before the start.
        """
        if found := problems({"window": self.seconds, "hop": self.hop}, {"window": WINDOW, "hop": WINDOW}):
            raise UserError(f"{found[0]}.")
        if self.hop > self.seconds:
            raise UserError(
                f"the hop, {self.hop:g} s, is longer than the window, {self.seconds:g} s, so that parts of the video "
                "would lie in no window; choose a shorter hop."
            )
        check_window(self.start, self.end)

    @classmethod
    def of(cls, seconds: float, hop: float | None, start: float, end: float | None) -> "Windows":
        """Makes windows whose hop is a quarter of their length, unless one is given; arguments as the attributes."""
        return cls(seconds, seconds / 4 if hop is None else hop, start, end)


@dataclasses.dataclass(frozen=True, eq=False)
class WindowViews:
    """The views of a window.

    Attributes:
      start: the second of the video at which it starts.
      end: the second of the video that it ends before.
      views: as of `clip_views` for this part of the video, the crop changing fastest.
    """

    start: float
    end: float
    views: UInt8[np.ndarray, "views t size size 3"]


class WindowSource(Protocol):
    """The windows of a video, in order."""

    @property
    def frame_rate(self) -> float:
        """Mean frames per second of the video; 0.0 if unknown."""
        ...

    def __len__(self) -> int:
        """Returns the number of windows, with those that may be left out."""
        ...

    def __iter__(self) -> Iterator[WindowViews]:
        """Decodes the windows.

        Raises:
          VideoDecodeError: the video is broken from here on.
        """
        ...


class OpenWindows(Protocol):
    """Opens the windows of a video, as `WindowReader` does, wherever."""

    def __call__(self, video: str, options: ClipOptions, windows: Windows, *, clips: int, crops: int) -> WindowSource:
        """Opens the windows; arguments and errors are those of `WindowReader`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """A window, its first frame, and the frames of its views, one view after the other."""

    start: float
    end: float
    first: int
    frames: Int[np.ndarray, " views_times_t"]


class WindowReader:
    """Reads the windows of a video file.

    The last window is the first that reaches the end of the video; it ends there, and so may be shorter. A window in
    which no frame is shown, as where a camera stood still, is left out.

    The timeline is read first; then frames are decoded from the start of the file, each once, and those that windows
    need are kept until the last of these has them. So the memory depends on the length of a window, not on that of the
    video.

    Args:
      video: the file.
      options: frames, size, sampling and stride; augmentations are ignored.
      windows: their length and places.
      clips: views spread over the time of each window.
      crops: crops of each of them, 1 or 3.

    Attributes:
      start: the second of the video at which the first window starts.
      end: the second of the video that the last one ends before.
      frame_rate: mean frames per second of the video; 0.0 if unknown.

    Raises:
      VideoDecodeError: the video cannot be read, has no times, or no frame is shown in the part that is asked for.
    """

    def __init__(self, video: str, options: ClipOptions, windows: Windows, *, clips: int = 1, crops: int = 1) -> None:
        self._video, self._options, self._windows = video, options, windows
        self._clips, self._crops = clips, crops
        with unexpected_as_decode_error(video):
            if find_jpegs(video) is not None:
                raise VideoDecodeError(video, "a sequence of JPEG files has no times, and windows are parts of time")
            self._timeline = read_timeline(video)
            if self._timeline.times is None:
                raise VideoDecodeError(video, NO_TIMES)
            frame_window(video, windows.start, windows.end, self._timeline)
        self._times = np.asarray(self._timeline.times)
        self.frame_rate = self._timeline.fps
        self.start = windows.start
        self.end = end_of(self._timeline, self._timeline.frames)
        if windows.end is not None:
            self.end = min(self.end, windows.end)
        if self.end > MOST_SECONDS:
            raise VideoDecodeError(video, f"its timestamps span {self.end:g} s; the file is damaged")

    def __len__(self) -> int:
        """Returns the number of windows, with those that may be left out."""
        # Halves of a microsecond, by which times are rounded, make no window.
        beyond = self.end - self.start - self._windows.seconds - 5e-7
        return 1 + max(0, int(np.ceil(beyond / self._windows.hop)))

    def __iter__(self) -> Iterator[WindowViews]:
        """Decodes the windows in order.

        Raises:
          VideoDecodeError: the video is broken from here on.
        """
        with unexpected_as_decode_error(self._video):
            yield from self._cut()

    def _plans(self) -> Iterator[_Plan]:
        for number in range(len(self)):
            start = self._moment(self.start + number * self._windows.hop)
            end = min(self._moment(start + self._windows.seconds), self.end)
            first, stop = np.searchsorted(self._times, [start, end])
            if first == stop:
                continue
            fps = self._options.fps
            clock = clock_of(self._video, self._timeline, int(first), int(stop - first), fps)
            chosen = [view_ticks(clock.ticks, self._options, clip, self._clips) for clip in range(self._clips)]
            yield _Plan(start, end, int(first), clock.frames_at(np.concatenate(chosen)))

    def _moment(self, seconds: float) -> float:
        """Returns the time of the frame that a sum is meant to meet, else the sum."""
        near = np.searchsorted(self._times, seconds - _ROUNDING)
        if near < len(self._times) and self._times[near] <= seconds + _ROUNDING:
            return float(self._times[near])
        return seconds

    def _cut(self) -> Iterator[WindowViews]:
        settle_reader()
        plans = self._plans()
        ahead = next(plans, None)
        begun: collections.deque[_Plan] = collections.deque()
        kept: dict[int, UInt8[np.ndarray, "1 h w 3"]] = {}
        convert = RgbConverter(self._options.size)
        with open_video(self._video) as (container, stream):
            number = 0
            for packet in demux(container, stream):
                for frame in decode_packet(packet):
                    while ahead is not None and ahead.first <= number:
                        begun.append(ahead)
                        ahead = next(plans, None)
                    if any(number in plan.frames for plan in begun):
                        kept[number] = resize_short_side(convert(frame)[None], self._options.size)
                    number += 1
                    while begun and begun[0].frames.max() < number:
                        yield self._views(begun.popleft(), kept)
                        oldest = min((plan.first for plan in begun), default=number)
                        kept = {index: picture for index, picture in kept.items() if index >= oldest}
                if ahead is None and not begun:
                    return
        raise VideoDecodeError(
            self._video, f"only {number} of its {self._timeline.frames} frames can be decoded; copy it again"
        )

    def _views(self, plan: _Plan, kept: dict[int, UInt8[np.ndarray, "1 h w 3"]]) -> WindowViews:
        decoded = np.concatenate([kept[index] for index in plan.frames.tolist()])
        views = [crop_views(part, self._options.size, self._crops) for part in np.split(decoded, self._clips)]
        return WindowViews(plan.start, plan.end, np.concatenate(views))
