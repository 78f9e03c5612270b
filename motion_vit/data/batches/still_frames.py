"""Decodes single frames of a clip, whole."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.augmentation.crops import resize_frames
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import view_ticks
from motion_vit.data.batches.frame_clock import read_clock
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.video.decode_error import unexpected_as_decode_error
from motion_vit.data.video.decoding import decode_frames


def still_frames(
    clip: StoredClip, options: ClipOptions, views: Sequence[int], *, clips: int, size: int
) -> UInt8[np.ndarray, "n size size 3"]:
    """Decodes the frames that some evaluation views of a clip show, resized to a square without cropping.

    Args:
      clip: not decoded yet.
      options: of views of one frame.
      views: numbers of the views, from 0.
      clips: number of views of the clip.
      size: height and width of the result in pixels.

    Returns:
      A frame for each view, RGB.

    Raises:
      VideoDecodeError: the video cannot be decoded.
    """
    with unexpected_as_decode_error(clip.video):
        clock = read_clock(clip, options.fps)
        numbers = [clock.frames_at(view_ticks(clock.ticks, options, view, clips)) for view in views]
        return resize_frames(decode_frames(clip.video, np.concatenate(numbers)), size, size)
