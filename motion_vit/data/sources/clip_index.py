"""Lists the name and the class of every clip of a source, without decoding any."""

import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from motion_vit.counts import counted
from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.data.sources.video_list import VideoList
from motion_vit.data.video.decode_error import unexpected_as_decode_error
from motion_vit.data.workers.ordered_threads import in_threads
from motion_vit.data.workers.progress_bar import progress_bar
from motion_vit.errors import UserError

NO_CLASS = -1
"""The class of a clip whose record cannot be read."""

_logger = logging.getLogger(__name__)
# Reading a record waits for the disk; those ahead are in memory with their videos.
_THREADS = 8
_AHEAD = 32


class ClipIndex(NamedTuple):
    """The clips of a source, in its order.

    Attributes:
      ids: their names; "" for one that cannot be read.
      labels: their classes, indices into the source's label names; `NO_CLASS` for one that cannot be read.
    """

    ids: tuple[str, ...]
    labels: Int[np.ndarray, " n"]


def index_clips(source: ClipSource, *, progress: bool = True) -> ClipIndex:
    """Lists the clips of a source.

    A list knows them. Of prepared folders and sets of TensorFlow Datasets every record is read once, which takes as
    long as reading their files.

    Args:
      source: list, prepared split or split of a set.
      progress: whether to show a progress bar with the time left on stderr, where records are read.

    Returns:
      The names and classes. A warning is logged of records that cannot be read.
    """
    if isinstance(source, VideoList):
        return ClipIndex(source.ids, source.labels)

    def read(row: int) -> tuple[str, int]:
        try:
            with unexpected_as_decode_error(f"clip {row}"):
                clip = source[row]
            return clip.id, clip.label
        except UserError:  # `motion-vit data check` tells why
            return "", NO_CLASS

    found: list[tuple[str, int]] = []
    with progress_bar(len(source), "reading the classes of clips", "clip", shown=progress) as bar:
        for each in in_threads(read, range(len(source)), threads=_THREADS, ahead=_AHEAD):
            found.append(each)
            bar.update()
    labels = np.array([label for _, label in found], np.int32)
    if unread := int(np.sum(labels == NO_CLASS)):
        _logger.warning("%s: left out %s, which cannot be read.", source.name, counted(unread, "record"))
    return ClipIndex(tuple(name for name, _ in found), labels)
