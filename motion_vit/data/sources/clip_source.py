"""What training and evaluation read clips from: a list of video files or a prepared split."""

import dataclasses
from typing import Protocol, runtime_checkable

from motion_vit.data.video.encoded_video import EncodedVideo
from motion_vit.data.video.probing import count_frames, frame_window
from motion_vit.errors import UserError


@dataclasses.dataclass(frozen=True)
class StoredClip:
    """A labelled clip, not decoded.

    Attributes:
      id: Its name, unique in its source.
      label: Its class, an index into the source's label names.
      video: The video that it is a part or the whole of.
      first_frame: The frame of the video that it starts with.
      frames: How many frames of the video it has; None for all from `first_frame` on, which are counted when it is
        decoded.
      start: Where `frames` is None, the second of the video that it starts at; 0.0 otherwise.
      end: Where `frames` is None, the second of the video that it ends before; None for the end of the video.
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
    """Clips that can be read at random, from several threads at a time and, pickled, from several processes."""

    @property
    def name(self) -> str:
        """What messages call it: the list file, or the prepared folder and split."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what it holds: equal for the same clips in another place, different for other clips.

        That of a list covers its rows; the video files that it names are not read for it.
        """
        ...

    def __len__(self) -> int:
        """The number of clips."""
        ...

    def __getitem__(self, row: int) -> StoredClip:
        """Reads clip number `row`, without decoding it.

        Raises:
          UserError: The clip cannot be read.
        """
        ...


def clip_name(source: ClipSource, row: int) -> str:
    """What messages call a clip, also one that cannot be read.

    Args:
      source: The source.
      row: The clip's row.

    Returns:
      Its id, or its number if not even that can be read.
    """
    try:
        return source[row].id
    except UserError:
        return f"clip {row} of {source.name}"


def clip_frames(clip: StoredClip) -> tuple[int, int]:
    """Where a clip lies in its video.

    Args:
      clip: The clip.

    Returns:
      The number of its first frame, and how many it has.

    Raises:
      VideoDecodeError: They have to be counted, and the video cannot be read.
    """
    if clip.frames is not None:
        return clip.first_frame, clip.frames
    if clip.start or clip.end is not None:
        return frame_window(clip.video, clip.start, clip.end)
    return clip.first_frame, count_frames(clip.video) - clip.first_frame
