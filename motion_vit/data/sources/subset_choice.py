"""Chooses some clips of every class at random: a few of each ("shots"), or a share of each.

The clips of a class are put in the order of a hash of their names and the seed, and the first ones are taken. So a
smaller subset lies within a larger one of the same seed, whatever the machine and the order of the list, and adding a
clip later moves no other. Few-shot protocols draw each size anew; nested sizes differ less by chance.
"""

import dataclasses
import hashlib
import math
import re
from collections.abc import Sequence

import numpy as np

from motion_vit.counts import counted
from motion_vit.data.sources.clip_index import ClipIndex
from motion_vit.data.sources.subset_ranges import SHOTS, SUBSET_SHARE
from motion_vit.errors import UserError
from motion_vit.ranges import refusal

_SHOWN_CLASSES = 5


@dataclasses.dataclass(frozen=True)
class SubsetSize:
    """A number of clips of each class, or a share of them.

    Attributes:
      shots: clips of each class; None where a share is taken.
      share: share of the clips of each class, at least one; None where a number is taken.

    Raises:
      UserError: both or none are given, or one is out of its range.
    """

    shots: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if (self.shots is None) == (self.share is None):
            raise UserError("a subset has either so many shots of each class, or a share of each; give one of the two.")
        if self.shots is not None and not SHOTS.holds(self.shots):
            raise UserError(f"{refusal('shots', self.shots, SHOTS)}.")
        if self.share is not None and not SUBSET_SHARE.holds(self.share):
            raise UserError(f"{refusal('share', self.share, SUBSET_SHARE)}.")

    @property
    def is_everything(self) -> bool:
        """Tells if all clips are taken."""
        return self.share == 1

    @property
    def title(self) -> str:
        """The size in words, such as `4 shots` or `10%`."""
        return str(self) if self.shots is None else counted(self.shots, "shot")

    def __str__(self) -> str:
        """Names the size, as `parse_size` reads it."""
        if self.share is not None:
            return "all" if self.is_everything else f"{100 * self.share:.10g}%"
        return str(self.shots)

    def of_class(self, clips: int) -> int:
        """Counts the clips that are taken of a class.

        Args:
          clips: those that it has.

        Returns:
          At most `clips`; of a share at least 1, where there is one.
        """
        wanted = self.shots if self.share is None else max(1, math.floor(self.share * clips + 0.5))
        return min(clips, wanted or 0)


def parse_size(text: str) -> SubsetSize:
    """Reads the size of a subset.

    Args:
      text: `all`, a number of clips of each class such as `4`, or a share of each such as `10%`.

    Returns:
      The size.

    Raises:
      UserError: it is none of these.
    """
    if text == "all":
        return SubsetSize(share=1.0)
    if re.fullmatch(r"[0-9]{1,18}", text):
        return SubsetSize(shots=int(text))
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?%", text):
        return SubsetSize(share=float(text[:-1]) / 100)
    raise UserError(
        f"{text!r} is no size of a subset; give all, clips of each class such as 4, or a share such as 10%."
    )


def choose_rows(index: ClipIndex, label_names: Sequence[str], size: SubsetSize, *, seed: int, name: str) -> list[int]:
    """Chooses clips of every class.

    Args:
      index: the clips of a source.
      label_names: the names of its classes.
      size: how many.
      seed: another seed chooses others.
      name: of the source, for messages.

    Returns:
      The numbers of the chosen clips, rising.

    Raises:
      UserError: there are clips of fewer than two classes, or a class has fewer than are asked for.
    """
    rows_of_class = [np.flatnonzero(index.labels == label).tolist() for label in range(len(label_names))]
    _check(rows_of_class, label_names, size, name)
    chosen: list[int] = []
    for rows in rows_of_class:
        rows.sort(key=lambda row: _place(seed, index.ids[row]))
        chosen += rows[: size.of_class(len(rows))]
    return sorted(chosen)


def _check(rows_of_class: Sequence[Sequence[int]], label_names: Sequence[str], size: SubsetSize, name: str) -> None:
    counts = {label: len(rows) for label, rows in zip(label_names, rows_of_class, strict=True)}
    with_clips = [label for label, count in counts.items() if count]
    if len(with_clips) < 2:
        found = f"of one class alone, {with_clips[0]!r}" if with_clips else "of no class"
        raise UserError(f"{name} has clips {found}, but a subset takes some of two or more: give data of more classes.")
    if size.shots is None:
        return
    few = {label: count for label, count in counts.items() if count < size.shots}
    if few:
        shown = ", ".join(f"{label!r} ({count})" for label, count in list(few.items())[:_SHOWN_CLASSES])
        more = f" and {len(few) - _SHOWN_CLASSES} more" if len(few) > _SHOWN_CLASSES else ""
        least = min(few.values())
        way = f"Take {least} shots or fewer" if least else "Leave classes without a clip out of the data"
        raise UserError(
            f"{counted(len(few), 'class')} of {name} have fewer than {counted(size.shots, 'clip')}: {shown}{more}. "
            f"{way}, or a share of each class."
        )


def _place(seed: int, clip_id: str) -> bytes:
    """Hashes a name to its place in the order of its class."""
    return hashlib.sha256(f"{seed}\0{clip_id}".encode("utf-8", "surrogateescape")).digest()
