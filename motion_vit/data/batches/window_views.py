"""Cuts the test views of overlapping windows of a long video, whose frames are decoded once for all of them."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from motion_vit.data.augmentation.crops import crop_views, resize_short_side
from motion_vit.data.batches.batch import settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.batches.frame_clock import clock_of, end_of
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.data.video.container import decode_packet, demux, open_video
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.decoding import RgbConverter
from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.jpeg_frames import find_jpegs
from motion_vit.data.video.probing import NO_TIMES, check_window, frame_window
from motion_vit.data.video.timeline import Timeline, read_timeline
from motion_vit.errors import UserError
from motion_vit.ranges import Number, problems

WINDOW = Number(0.001, MOST_SECONDS)
"""Seconds of a window, or from one to the next."""

ROUNDING = 1e-8
"""Seconds by which a sum of floats may miss the time of a frame: 3 * 0.1 is more than 0.3."""


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
        if found := problems({"window": seconds}, {"window": WINDOW}):
            raise UserError(f"{found[0]}.")
        return cls(seconds, seconds / 4 if hop is None else hop, start, end)

    def count(self, end: float) -> int:
        """Counts the windows of a video: the last one is the first that reaches its end.

        Args:
          end: the second at which the video ends, or what is looked at of it.
        """
        # Halves of a microsecond, by which times are rounded, make no window.
        beyond = end - self.start - self.seconds - 5e-7
        return 1 + max(0, int(np.ceil(beyond / self.hop)))


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


@runtime_checkable
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


@runtime_checkable
class OpenWindows(Protocol):
    """Opens the windows of a video, as `WindowReader` does, wherever."""

    def __call__(self, video: str, options: ClipOptions, windows: Windows, *, clips: int, crops: int) -> WindowSource:
        """Opens the windows; arguments and errors are those of `WindowReader`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class WindowPlan:
    """A window and the frames that it takes.

    Attributes:
      start: the second of the video at which it starts.
      end: the second of the video that it ends before.
      first: number of its first frame.
      frames: numbers of the frames of its views, one view after the other.
    """

    start: float
    end: float
    first: int
    frames: Int[np.ndarray, " views_times_t"]


def plan_window(
    video: EncodedVideo,
    timeline: Timeline,
    times: Float[np.ndarray, " frames"],
    options: ClipOptions,
    span: tuple[float, float],
    clips: int,
) -> WindowPlan | None:
    """Chooses the frames of a window.

    Args:
      video: for messages.
      timeline: frames with all of the window, and where its last one ends.
      times: those of the timeline, as an array.
      options: frames, size, sampling and stride.
      span: the seconds of the timeline that the window starts at and ends before.
      clips: views spread over its time.

    Returns:
      The window; None where no frame is shown in it.

    Raises:
      VideoDecodeError: the times span more than a video may.
    """
    first, stop = np.searchsorted(times, span)
    if first == stop:
        return None
    clock = clock_of(video, timeline, int(first), int(stop - first), options.fps)
    chosen = [view_ticks(clock.ticks, options, clip, clips) for clip in range(clips)]
    return WindowPlan(*span, int(first), clock.frames_at(np.concatenate(chosen)))


def cut_views(
    frames: Sequence[UInt8[np.ndarray, "1 h w 3"]], size: int, clips: int, crops: int
) -> UInt8[np.ndarray, "views t size size 3"]:
    """Cuts the views of a window.

    Args:
      frames: those of its plan, of which `size` is the shorter side.
      size: side of the crops in pixels.
      clips: views spread over its time.
      crops: crops of each of them, 1 or 3.

    Returns:
      The views, the crop changing fastest.
    """
    return np.concatenate([crop_views(part, size, crops) for part in np.split(np.concatenate(frames), clips)])


def moment(times: Float[np.ndarray, " frames"], seconds: float) -> float:
    """Returns the time of the frame that a sum of floats is meant to meet, else the sum.

    Args:
      times: those of the frames, in order.
      seconds: the sum.
    """
    near = np.searchsorted(times, seconds - ROUNDING)
    if near < len(times) and times[near] <= seconds + ROUNDING:
        return float(times[near])
    return seconds


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
        return self._windows.count(self.end)

    def __iter__(self) -> Iterator[WindowViews]:
        """Decodes the windows in order.

        Raises:
          VideoDecodeError: the video is broken from here on.
        """
        with unexpected_as_decode_error(self._video):
            yield from self._cut()

    def _plans(self) -> Iterator[WindowPlan]:
        for number in range(len(self)):
            start = moment(self._times, self.start + number * self._windows.hop)
            end = min(moment(self._times, start + self._windows.seconds), self.end)
            plan = plan_window(self._video, self._timeline, self._times, self._options, (start, end), self._clips)
            if plan is not None:
                yield plan

    def _cut(self) -> Iterator[WindowViews]:
        settle_reader()
        plans = self._plans()
        ahead = next(plans, None)
        begun: collections.deque[WindowPlan] = collections.deque()
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

    def _views(self, plan: WindowPlan, kept: dict[int, UInt8[np.ndarray, "1 h w 3"]]) -> WindowViews:
        frames = [kept[index] for index in plan.frames.tolist()]
        return WindowViews(plan.start, plan.end, cut_views(frames, self._options.size, self._clips, self._crops))
