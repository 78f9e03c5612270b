"""One of the clips that evaluation cuts out of a video, and its place in the video.

Places in a video are measured in its upright pixels, from the upper left corner of its first pixel: the pixel of row 0
reaches from 0 to 1 and has its centre at 0.5.
"""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from motion_vit.counts import counted
from motion_vit.data.augmentation.crops import crop_corners, resize_frames, short_side_shape
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.batches.frame_clock import read_clock
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.decode_error import unexpected_as_decode_error
from motion_vit.data.video.decoding import decode_frames
from motion_vit.data.video.encoded_video import video_name
from motion_vit.data.video.jpeg_frames import scaled_size
from motion_vit.data.video.probing import frame_times, probe_video
from motion_vit.errors import UserError

Pixels = UInt8[np.ndarray, "t h w 3"]


@dataclasses.dataclass(frozen=True)
class ClipView:
    """The place of a clip in its video.

    Attributes:
      frame_numbers: number in the video of each frame of the clip.
      times: second in the video of each frame of the clip; None where the video has no times.
      video_size: height and width of the video in pixels.
      resized: height and width of the resized video, from which the clip is cut.
      corner: row and column of the clip's first pixel in the resized video.
      size: height and width of the clip.
    """

    frame_numbers: tuple[int, ...]
    times: tuple[float, ...] | None
    video_size: tuple[int, int]
    resized: tuple[int, int]
    corner: tuple[int, int]
    size: int

    @property
    def scale(self) -> tuple[float, float]:
        """Height and width of a pixel of the clip, in pixels of the video."""
        return self.video_size[0] / self.resized[0], self.video_size[1] / self.resized[1]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The part of the video in the clip: top, left, height and width in pixels of the video."""
        down, right = self.scale
        return self.corner[0] * down, self.corner[1] * right, self.size * down, self.size * right

    def check_seen(self, y: float, x: float) -> None:
        """Checks that the clip shows a place of the video.

        Args:
          y: in pixels of the video.
          x: likewise.

        Raises:
          UserError: the place is outside of the clip.
        """
        check_in_box(y, x, self.box, self.video_size)

    def cut(self, frames: Pixels) -> Pixels:
        """Cuts the clip out of whole frames of the video, in their original size or already scaled down."""
        top, left = self.corner
        return resize_frames(frames, *self.resized)[:, top : top + self.size, left : left + self.size]


def check_in_box(y: float, x: float, box: tuple[float, float, float, float], video_size: tuple[int, int]) -> None:
    """Checks that a place lies in the part of a video that a model sees.

    Args:
      y: in pixels of the video.
      x: likewise.
      box: top, left, height and width of that part.
      video_size: height and width of the video.

    Raises:
      UserError: the place is outside of the box.
    """
    top, left, height, width = box
    if not (top <= y < top + height and left <= x < left + width):
        raise UserError(
            f"the model sees nothing at y={y:g}, x={x:g}: of this video of {video_size[0]} x {video_size[1]} pixels it "
            f"sees y from {top:g} to {top + height:g} and x from {left:g} to {left + width:g}. Choose a place inside."
        )


def place_view(
    video_size: tuple[int, int],
    frame_numbers: tuple[int, ...],
    size: int,
    *,
    times: tuple[float, ...] | None = None,
    crop: int = 0,
    crops: int = 1,
) -> ClipView:
    """Computes the place of a clip after evaluation's resizing and cropping.

    Args:
      video_size: height and width of the video in pixels.
      frame_numbers: number in the video of each frame of the clip.
      size: height and width of the clip.
      times: second in the video of each frame of the clip.
      crop: number of the crop along the longer side, from 0.
      crops: number of crops, 1 or 3.

    Returns:
      The place of the clip.

    Raises:
      UserError: there is no such crop.
    """
    if crops not in (1, 3) or not 0 <= crop < crops:
        raise UserError(f"there are 1 or 3 crops, counted from 0; given crop {crop} of {crops}")
    width, height = scaled_size(video_size[1], video_size[0], size)
    resized = short_side_shape(height, width, size)
    corner = crop_corners(*resized, size, crops)[crop]
    return ClipView(frame_numbers, times, video_size, resized, corner, size)


def read_view(
    clip: StoredClip, options: ClipOptions, *, number: int = 0, clips: int = 1, crop: int = 0, crops: int = 1
) -> tuple[ClipView, Pixels]:
    """Cuts one of the views that evaluation takes of a clip.

    Args:
      clip: the clip; `StoredClip(id=path, label=0, video=path)` is a whole video file.
      options: frames, size, sampling, stride and fps, of `motion_vit.training.recipe.clips.clip_options`.
      number: number of the view over time, from 0.
      clips: number of views over time.
      crop: number of the crop, from 0.
      crops: number of crops, 1 or 3.

    Returns:
      The place of the view, and its pixels, RGB from 0 to 255, as evaluation gives them to the model.

    Raises:
      UserError: there is no such view.
      VideoDecodeError: the video cannot be decoded.
    """
    with unexpected_as_decode_error(clip.video):
        return _read_view(clip, options, number, clips, crop, crops)


def _read_view(
    clip: StoredClip, options: ClipOptions, number: int, clips: int, crop: int, crops: int
) -> tuple[ClipView, Pixels]:
    if not 0 <= number < clips:
        raise UserError(f"views over time are counted from 0; given view {number} of {clips}")
    clock = read_clock(clip, options.fps)
    frames = tuple(clock.frames_at(view_ticks(clock.ticks, options, number, clips)).tolist())
    if len(set(frames)) < 2 <= len(frames):
        count = clock.ticks if clock.times is None else len(clock.times)
        since, advice = (f" from {clip.start:g} s on", "an earlier start") if clip.start else ("", "a longer video")
        raise UserError(
            f"{video_name(clip.video)} has {counted(count, 'frame')}{since}, too few to see motion in: a clip of "
            f"{len(frames)} frames would show one and the same frame. Give {advice}"
        )
    info = probe_video(clip.video)
    every_time = frame_times(clip.video)
    times = None if every_time is None else tuple(every_time[frame] for frame in frames)
    view = place_view((info.height, info.width), frames, options.size, times=times, crop=crop, crops=crops)
    return view, view.cut(decode_frames(clip.video, frames, short_side=options.size))
