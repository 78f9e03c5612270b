"""Holds out a share of the training videos for validation, where a dataset has no validation videos."""

import hashlib
import os
import pathlib
from collections import defaultdict
from collections.abc import Sequence

from motion_vit.data.datasets.source_dataset import SourceClip


def hold_out(
    clips: Sequence[SourceClip], share: float, folder: pathlib.Path
) -> tuple[tuple[SourceClip, ...], tuple[SourceClip, ...]]:
    """Divides the clips of a training split into training and validation, class by class.

    A video is chosen by a hash of its path, so that adding a video later moves no other. If a class has so few videos
    that none is chosen this way, the next one is taken; one always stays in training. All clips of a video stay
    together: neighbouring clips look so alike that they would inflate the results.

    Args:
      clips: of the training split.
      share: the share to hold out, at least 0 and below 1.
      folder: base of the hashed paths, so that the folder can be moved.

    Returns:
      The clips to train on and the clips to validate on, each in the order of `clips`.
    """
    # A video with clips of several classes counts for the class of its first clip.
    class_of: dict[str, str] = {}
    for clip in clips:
        class_of.setdefault(clip.path, clip.label)
    place = {path: _place(pathlib.PurePath(os.path.relpath(path, folder)).as_posix()) for path in class_of}
    videos_of_class: dict[str, list[str]] = defaultdict(list)
    for path in sorted(place, key=place.__getitem__):
        videos_of_class[class_of[path]].append(path)
    held_out: set[str] = set()
    for videos in videos_of_class.values():
        chosen = [path for path in videos if place[path] < share] or videos[:1]
        held_out.update(chosen[: len(videos) - 1])
    train = tuple(clip for clip in clips if clip.path not in held_out)
    return train, tuple(clip for clip in clips if clip.path in held_out)


def _place(name: str) -> float:
    """Hashes a name to a number from 0 to 1, uniformly over many names."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
