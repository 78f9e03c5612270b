"""Counts what sampling chooses among: the frames of a clip, or the ticks of a clock beside its timestamps."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from motion_vit.data.sources.clip_source import StoredClip, clip_frames
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.jpeg_frames import find_jpegs
from motion_vit.data.video.probing import NO_TIMES
from motion_vit.data.video.timeline import Timeline, read_timeline

EQUALLY_NEAR = 1.1e-3
"""Seconds by which two frames may differ in their distance from a tick and count as equally near.

Matroska rounds times to milliseconds, which must not decide between them.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class FrameClock:
    """The moments of a clip that sampling chooses among.

    Attributes:
      first_frame: number in the video of the clip's first frame.
      ticks: number of moments: frames of the clip, or ticks of the clock within its duration; at least 1.
      fps: ticks per second; 0.0 where they are the frames.
      times: seconds of each frame since the clip's first, in order; None where the ticks are the frames.
    """

    first_frame: int
    ticks: int
    fps: float = 0.0
    times: Float[np.ndarray, " frames"] | None = None

    def frames_at(self, ticks: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
        """Finds the frames at ticks: the nearest in time, the earlier of two that are equally near.

        Args:
          ticks: from 0 to `self.ticks` - 1.

        Returns:
          Frame numbers in the video.
        """
        if self.times is None:
            return self.first_frame + ticks
        moments = ticks / self.fps
        after = np.minimum(np.searchsorted(self.times, moments), len(self.times) - 1)
        before = np.maximum(after - 1, 0)
        is_after = self.times[after] - moments < moments - self.times[before] - EQUALLY_NEAR
        return self.first_frame + np.where(is_after, after, before)


def read_clock(clip: StoredClip, fps: float) -> FrameClock:
    """Reads the clock of a clip.

    Args:
      clip: not decoded.
      fps: ticks per second; 0.0 takes each frame for a tick, whatever its time.

    Returns:
      The clock.

    Raises:
      VideoDecodeError: the video cannot be read, or has no times where a rate is set.
    """
    if not fps:
        first, frames = clip_frames(clip)
        return FrameClock(first, frames)
    jpegs = find_jpegs(clip.video)
    if jpegs is not None and jpegs.fps:
        seconds = len(jpegs) / jpegs.fps
        timeline = Timeline(len(jpegs), jpegs.times, jpegs.fps, seconds, repeats=0)
        return clock_of(clip.video, timeline, *clip_frames(clip, timeline), fps)
    if jpegs is not None:
        raise VideoDecodeError(
            clip.video,
            f"a sequence of JPEG files has no times, and data.fps={fps:g} samples by time; set data.fps=0, or prepare "
            "the data with --codec h264-fast, which gives such frames the times of 12 frames a second",
        )
    timeline = read_timeline(clip.video)
    first, frames = clip_frames(clip, timeline)
    return clock_of(clip.video, timeline, first, frames, fps)


def clock_of(video: EncodedVideo, timeline: Timeline, first: int, frames: int, fps: float) -> FrameClock:
    """Makes the clock of some frames of a video whose timeline is known.

    Args:
      video: for messages.
      timeline: that of the video.
      first: number of the first frame.
      frames: number of frames.
      fps: ticks per second; 0.0 takes each frame for a tick, whatever its time.

    Returns:
      The clock.

    Raises:
      VideoDecodeError: the video has no such frames or no times.
    """
    if not fps:
        return FrameClock(first, frames)
    if timeline.times is None:
        raise VideoDecodeError(video, NO_TIMES)
    times = np.asarray(timeline.times[first : first + frames])
    if not len(times):
        raise VideoDecodeError(video, f"frame {first} was asked for and the video has {timeline.frames} frames")
    seconds = end_of(timeline, first + frames) - float(times[0])
    if not 0 <= seconds <= MOST_SECONDS:
        raise VideoDecodeError(video, f"its timestamps span {seconds:g} s; the file is damaged")
    return FrameClock(first, max(1, round(seconds * fps)), fps, times - times[0])


def end_of(timeline: Timeline, stop: int) -> float:
    """Finds when a frame ends: where the next starts, or the video ends.

    Args:
      timeline: that of the video.
      stop: number of the frame behind it.

    Returns:
      Seconds since the first frame.
    """
    times = timeline.times or (0.0,)
    if stop < len(times):
        return times[stop]
    return max(timeline.duration, times[-1] + (1 / timeline.fps if timeline.fps else 0.0))
