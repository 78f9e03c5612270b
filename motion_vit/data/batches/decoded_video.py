"""Decodes the views of a named video, or says why they cannot be decoded."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from motion_vit.data.batches.batch import settle_reader
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.evaluation_batches import clip_views
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.sources.named_videos import NamedVideo
from motion_vit.data.video.decode_error import VideoDecodeError, unexpected_as_decode_error
from motion_vit.data.video.jpeg_frames import find_jpegs
from motion_vit.data.video.timeline import read_timeline
from motion_vit.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class DecodedVideo:
    """A video whose views are decoded, or the reason why they are not.

    Attributes:
      video: its name and part.
      views: as of `clip_views`; None where there is an error.
      error: why it cannot be decoded, in words; "" if it is.
      frame_rate: mean frames per second; 0.0 if unknown or not asked for.
    """

    video: NamedVideo
    views: UInt8[np.ndarray, "views t size size 3"] | None
    error: str = ""
    frame_rate: float = 0.0


@runtime_checkable
class VideoDecoder(Protocol):
    """A function that does what `decode_video` does, wherever: it may be called in several threads at once."""

    def __call__(
        self, video: NamedVideo, options: ClipOptions, *, clips: int, crops: int, with_rate: bool
    ) -> DecodedVideo:
        """Decodes the views of a video; see `decode_video`."""
        ...


def decode_video(video: NamedVideo, options: ClipOptions, *, clips: int, crops: int, with_rate: bool) -> DecodedVideo:
    """Decodes the views of a video; what is wrong with it is no exception.

    Args:
      video: of `find_videos`.
      options: frames, size, sampling and stride; augmentations are ignored.
      clips: clips spread over the video.
      crops: crops of each of them, 1 or 3.
      with_rate: whether to read its frame rate, too.

    Returns:
      The views, or the reason why there are none.
    """
    settle_reader()
    try:
        if video.error:
            raise VideoDecodeError(video.path, video.error)
        clip = StoredClip(id=video.path, label=0, video=video.path, start=video.start, end=video.end)
        views = clip_views(clip, options, clips=clips, crops=crops)
    except VideoDecodeError as error:
        return DecodedVideo(video, None, error=error.reason)
    return DecodedVideo(video, views, frame_rate=_frame_rate(video.path) if with_rate else 0.0)


def _frame_rate(path: str) -> float:
    try:
        with unexpected_as_decode_error(path):
            return 0.0 if find_jpegs(path) is not None else read_timeline(path).fps
    except UserError:
        return 0.0  # it is decoded already
