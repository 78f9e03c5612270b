"""Chooses the part of a video to look at: one of the clips that evaluation takes, or a clip from a moment on."""

import dataclasses
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from motion_vit.counts import counted
from motion_vit.data.batches.batch_ranges import CLIPS
from motion_vit.data.sources.clip_source import StoredClip
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.errors import UserError
from motion_vit.ranges import Number, Whole, refusal
from motion_vit.training.recipe.clips import clip_options
from motion_vit.visualization.clip_view import ClipView, Pixels, read_view

START = Number(0, MOST_SECONDS)
"""Seconds of a video that a clip may start at."""


@dataclasses.dataclass(frozen=True)
class ClipChoice:
    """The part of a video to look at.

    Without any choice it is the clip of an evaluation that takes one of each video: its middle for dense sampling,
    frames spread over it for sampling by segments.

    Attributes:
      start: second of the video that the clip starts at. Dense sampling takes the frames that follow; sampling by
        segments spreads its frames over the rest of the video.
      clip: number, from 1, of one of the clips that evaluation spreads over the video.
      clips: how many these are; None for the recipe's `evaluation.clips`.
    """

    start: float | None = None
    clip: int | None = None
    clips: int | None = None

    def __post_init__(self) -> None:
        """Checks the choice.

        Raises:
          UserError: a number is out of its range, two ways to choose are given, or a number of clips without one of
            them.
        """
        _check("start", self.start, START)
        _check("clips", self.clips, CLIPS)
        _check("clip", self.clip, CLIPS)
        if self.start is not None and (self.clip is not None or self.clips is not None):
            raise UserError(
                f"start={self.start:g} and {_given(self)} are given, but each chooses the part of the video: give a "
                "start in seconds, or the number of a clip."
            )
        if self.clips is not None and self.clip is None:
            raise UserError(
                f"clips={self.clips} says how many clips are spread over the video, but not which is looked at: give "
                f"clip, a number from 1 to {self.clips}, too."
            )
        if self.clips is not None:
            _check_number(self.clip, self.clips, "")

    def check(self, config: ConfigDict) -> None:
        """Checks that the recipe's evaluation takes such a clip.

        Args:
          config: the recipe.

        Raises:
          UserError: it takes fewer.
        """
        source = " by the recipe's evaluation.clips" if self.clips is None else ""
        _check_number(self.clip, self._count(config), source)

    def read(self, video: str, config: ConfigDict) -> tuple[ClipView, Pixels]:
        """Cuts the clip out of a video.

        Args:
          video: path of the video.
          config: the recipe, which says how frames are sampled.

        Returns:
          The place of the clip, and its pixels.

        Raises:
          UserError: there is no such clip, or too few frames are left to show motion.
          VideoDecodeError: the video cannot be decoded, or ends before the start.
        """
        self.check(config)
        options = clip_options(config)
        clip = StoredClip(id=video, label=0, video=video, start=self.start or 0.0)
        if self.start is not None:
            # The first of two dense clips starts with the frames that it is taken from; a single one lies in their
            # middle.
            return read_view(clip, options, number=0, clips=2 if options.sampling == "dense" else 1)
        return read_view(clip, options, number=(self.clip or 1) - 1, clips=self._count(config))

    def in_words(self, config: ConfigDict) -> str:
        """Describes the choice, such as "clip 2 of 4"; "" where nothing was chosen.

        Args:
          config: the recipe.
        """
        if self.start is not None:
            return f"from {self.start:g} s"
        return "" if self.clip is None else f"clip {self.clip} of {self._count(config)}"

    def _count(self, config: ConfigDict) -> int:
        """Counts the clips among which one is chosen."""
        if self.clip is None:
            return 1
        return int(config.evaluation.clips) if self.clips is None else self.clips


def repeated_frames(view: ClipView) -> str:
    """Says in a sentence that a clip repeats frames, because the video has too few; "" where it does not.

    Args:
      view: place of the clip.
    """
    repeated = int(np.sum(np.diff(view.frame_numbers) == 0))
    if not repeated:
        return ""
    return (
        f"The video is too short for this clip: {repeated} of its {len(view.frame_numbers)} frames "
        f"{'repeats' if repeated == 1 else 'repeat'} the frame before, and nothing moves between the two."
    )


def _check(name: str, value: Any, expected: Number | Whole) -> None:
    # Numbers of NumPy are numbers, too.
    plain = value.item() if isinstance(value, np.number) else value
    if value is not None and not expected.holds(plain):
        raise UserError(f"{refusal(name, value, expected)}.")


def _check_number(clip: int | None, count: int, source: str) -> None:
    if clip is not None and clip > count:
        raise UserError(
            f"clip {clip} is asked for, but {counted(count, 'clip')} {'is' if count == 1 else 'are'} spread over the "
            f"video{source}, counted from 1.{' Give clips, too, for another number of them.' if source else ''}"
        )


def _given(choice: ClipChoice) -> str:
    return " and ".join(
        f"{name}={value}" for name, value in (("clip", choice.clip), ("clips", choice.clips)) if value is not None
    )
