"""Training videos that cannot be decoded: named once each, and no more of them than a run may bear."""

from collections.abc import Iterator

import numpy as np

from motion_vit.data.clip_source import ClipSource, clip_frames, clip_name
from motion_vit.data.video.decode_error import VideoDecodeError
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError

_SHOWN = 10
# Frames are decoded for what is wrong with them, not to be seen.
_SHORT_SIDE = 16


class Undecodable:
    """Finds the clips of batches that arrive with weight 0.

    Args:
      source: the training clips.
      most: share of them that may fail.
    """

    def __init__(self, source: ClipSource, most: float) -> None:
        self._source, self._most = source, most
        self._reasons: dict[int, tuple[str, str]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The clips found so far, in the order they were met."""
        return tuple(name for name, _ in self._reasons.values())

    def found_in(self, batch: dict[str, np.ndarray]) -> Iterator[str]:
        """Looks through a batch.

        Args:
          batch: arrays `weight` and `index`.

        Yields:
          A line for each clip met for the first time: its name and what is wrong with it.

        Raises:
          UserError: more than the bearable share of all clips has failed, or every clip of the batch; they are named.
        """
        met = len(self._reasons)
        for row in batch["index"][(batch["weight"] == 0) & (batch["index"] >= 0)].tolist():
            if row in self._reasons:
                continue
            name, reason = clip_name(self._source, row), self._reason(row)
            self._reasons[row] = name, reason
            yield f"cannot be decoded, does not count: {name}: {reason}"
            if len(self._reasons) > self._most * len(self._source):
                raise UserError(self._message(f"more than data.max_undecodable, {self._most:g}, allows"))
        if len(self._reasons) > met and not batch["weight"].any():
            raise UserError(self._message("and of the last batch not a single one"))

    def _reason(self, row: int) -> str:
        """What is wrong with a clip: batches carry numbers only, so it is tried once more, here."""
        try:
            clip = self._source[row]
            first, frames = clip_frames(clip)
            decode_frames(clip.video, range(first, first + frames), short_side=_SHORT_SIDE)
        except VideoDecodeError as error:
            return error.reason
        except UserError as error:
            return str(error)
        return "some of its frames are damaged"

    def _message(self, what: str) -> str:
        lines = [f"  {name}: {reason}" for name, reason in self._reasons.values()]
        hidden = len(lines) - _SHOWN
        return (
            f"{len(lines)} of the {len(self._source)} videos of {self._source.name} could not be decoded, {what}:\n"
            + "\n".join(lines[:_SHOWN])
            + (f"\n  and {hidden} more, named above" if hidden > 0 else "")
            + "\nRepair or remove them (`motion-vit data check` finds all of them), prepare the data with --skip-bad, "
            "or allow a larger share."
        )
