"""The interface that training and evaluation read clips through, and its clips."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from motion_vit.data.video.decode_error import unexpected_as_decode_error
from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.probing import count_frames, frame_window
from motion_vit.data.video.timeline import Timeline
from motion_vit.errors import UserError


@dataclasses.dataclass(frozen=True)
class StoredClip:
    """A labelled clip, before decoding.

    Attributes:
      id: its name, unique in its source.
      label: its class, an index into the source's label names.
      video: the video that contains it.
      first_frame: first frame of the clip in the video.
      frames: number of frames; None for all from `first_frame` on, which are counted when it is
        decoded.
      start: where `frames` is None, the second of the video that it starts at; 0.0 otherwise.
      end: where `frames` is None, the second of the video that it ends before; None for the end of the video.
    """

    id: str
    label: int
    video: EncodedVideo
    first_frame: int = 0
    frames: int | None = None
    start: float = 0.0
    end: float | None = None


@runtime_checkable
class ClipSource(Protocol):
    """Clips with random access, from several threads and, pickled, from several processes."""

    @property
    def name(self) -> str:
        """Its name in messages: the list file, or the prepared folder and split."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal for the same clips in another place, different for other clips.

        A list's fingerprint covers its rows; the video files are not read.
        """
        ...

    @property
    def clips_of_class(self) -> Sequence[int]:
        """The number of clips of each class, in the order of `label_names`; may be counted when they are asked for."""
        ...

    @property
    def frame_rate(self) -> float:
        """The median of the videos' frames per second; 0.0 where it is not known without opening the videos."""
        ...

    def __len__(self) -> int:
        """Returns the number of clips."""
        ...

    def __getitem__(self, row: int) -> StoredClip:
        """Reads clip number `row`, without decoding it.

        Raises:
          UserError: the clip cannot be read.
        """
        ...


def clip_name(source: ClipSource, row: int) -> str:
    """Returns the name of a clip for messages, even if it cannot be read.

    Args:
      source: list or prepared split.
      row: number of the clip.

    Returns:
      Its id, or its number if the id cannot be read.
    """
    try:
        with unexpected_as_decode_error(f"clip {row}"):
            return source[row].id
    except UserError:
        return f"clip {row} of {source.name}"


def clip_frames(clip: StoredClip, timeline: Timeline | None = None) -> tuple[int, int]:
    """Returns the range of a clip in its video.

    Args:
      clip: not decoded; its frames are counted if the source does not know them.
      timeline: that of the video file, if it was read already.

    Returns:
      The number of its first frame, and its number of frames.

    Raises:
      VideoDecodeError: the frames have to be counted, and the video cannot be read.
    """
    if clip.frames is not None:
        return clip.first_frame, clip.frames
    if clip.start or clip.end is not None:
        return frame_window(clip.video, clip.start, clip.end, timeline)
    frames = count_frames(clip.video) if timeline is None else timeline.frames
    return clip.first_frame, frames - clip.first_frame
