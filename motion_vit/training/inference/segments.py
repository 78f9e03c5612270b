"""Turns the probabilities of overlapping windows into segments: stretches of time with one label.

The rules, in order:

1. **Smoothing.** Time is divided into pieces as long as the hop. The probabilities of a piece are the mean over the
   windows that cover its middle.
2. **Hysteresis.** A label begins at a piece where it is the most probable one, with `enter` or more. It goes on while
   its probability is at least `leave`, and no other is more probable with `enter` or more.
3. **Merging.** Segments of one label that follow each other with a gap shorter than `min_length` become one, with the
   gap. Then segments shorter than `min_length` are dropped, and what they parted is joined in the same way.

The probability of a segment is the mean of its label's over the pieces in which the label held.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.ranges import SHARE, Number, problems

Piece = tuple[float, float, Float[np.ndarray, " classes"] | None]
"""Start and end of a piece of time in seconds, and the mean probabilities; None where no window covers its middle."""

_LENGTH = Number(0, 1_000_000)
# Times are sums of floats; a length that is short by less than this is not shorter.
_ROUNDING = 1e-6
# Of seconds, so that such a sum is told as 0.3 and not as 0.30000000000000004.
_DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class SegmentRules:
    """The numbers of the rules.

    Attributes:
      enter: probability from which on a label begins.
      leave: probability below which it ends, at most `enter`.
      min_length: seconds; shorter segments are dropped, and shorter gaps between segments of one label closed.
    """

    enter: float = 0.5
    leave: float = 0.3
    min_length: float = 0.0

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          UserError: one is out of range, or labels would end before they begin.
        """
        if found := problems(dataclasses.asdict(self), {"enter": SHARE, "leave": SHARE, "min_length": _LENGTH}):
            raise UserError(f"segments: {found[0]}.")
        if self.leave > self.enter:
            raise UserError(
                f"segments: a label begins at the probability {self.enter:g} and would end below {self.leave:g}, which "
                "is more; leave must be at most enter."
            )

    @classmethod
    def of(cls, enter: float | None, leave: float | None, min_length: float | None) -> "SegmentRules":
        """Makes rules of the numbers that are given, with a `leave` that fits to an `enter` given alone.

        Args:
          enter: as the attribute; None for the default, and so for the others.
          leave: likewise.
          min_length: likewise.

        Returns:
          The rules.

        Raises:
          UserError: as the rules.
        """
        if enter is not None and leave is None:
            leave = min(enter, cls.leave)
        given = {"enter": enter, "leave": leave, "min_length": min_length}
        return cls(**{name: value for name, value in given.items() if value is not None})


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label.

    Attributes:
      start: the second of the video at which it starts.
      end: the second at which it ends.
      label: name of the class.
      probability: mean probability of the class.
    """

    start: float
    end: float
    label: str
    probability: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclasses.dataclass(frozen=True, eq=False)
class WindowProbabilities:
    """The probabilities of the classes in a window.

    Attributes:
      start: the second of the video at which it starts.
      end: the second at which it ends.
      probabilities: of each class; None where logits are NaN or infinite.
    """

    start: float
    end: float
    probabilities: Float[np.ndarray, " classes"] | None


class Smoothing:
    """Averages windows over pieces of time, rule 1. It holds the windows that overlap, not all.

    Args:
      hop: seconds of a piece.
      start: the second at which the first piece starts.
    """

    def __init__(self, hop: float, start: float) -> None:
        self._hop, self._start, self._end = hop, start, start
        self._pieces = 0
        self._covering: collections.deque[WindowProbabilities] = collections.deque()

    def add(self, window: WindowProbabilities) -> list[Piece]:
        """Takes the next window.

        Args:
          window: starts no earlier than those before.

        Returns:
          The pieces that no later window covers, each its start, its end and the mean probabilities; None in the place
          of these where no window covers the middle.
        """
        closed = self._closed(window.start)
        self._covering.append(window)
        self._end = max(self._end, window.end)
        return closed

    def end(self) -> list[Piece]:
        """Gives the remaining pieces; no window comes after it."""
        return self._closed(np.inf)

    def _closed(self, until: float) -> list[Piece]:
        """Lists the pieces whose middles lie before a second."""
        pieces: list[Piece] = []
        hop, covering = self._hop, self._covering
        while (
            begin := self._start + self._pieces * hop
        ) + hop / 2 < until - _ROUNDING and begin < self._end - _ROUNDING:
            stop = min(begin + hop, self._end)
            middle = (begin + stop) / 2
            while covering and covering[0].end <= middle:
                covering.popleft()
            found = [one.probabilities for one in covering if one.start <= middle and one.probabilities is not None]
            pieces.append((begin, stop, np.mean(found, axis=0) if found else None))
            self._pieces += 1
        return pieces


def smoothed(windows: Iterable[WindowProbabilities], hop: float, start: float) -> Iterator[Piece]:
    """Averages windows over pieces of time, see `Smoothing`.

    Args:
      windows: in order.
      hop: seconds of a piece.
      start: the second at which the first piece starts.

    Yields:
      Start and end of a piece, and the mean probabilities; None where no window covers its middle.
    """
    smoothing = Smoothing(hop, start)
    for window in windows:
        yield from smoothing.add(window)
    yield from smoothing.end()


@dataclasses.dataclass(frozen=True)
class SegmentChange:
    """The begin or the end of a segment.

    Attributes:
      kind: "opened" as soon as it is sure that there will be a segment, "closed" as soon as it can become no longer.
      segment: as far as it reaches when it is opened, and whole when it is closed.
    """

    kind: Literal["opened", "closed"]
    segment: Segment


class SegmentTracker:
    """Finds segments piece by piece, rules 2 and 3, and says of each when it is opened and closed.

    A label opens a segment when it has held for `min_length`, and closes it when it has not held for as long, or when
    another opens one.

    Args:
      label_names: name of each class.
      rules: where labels begin and end.
    """

    def __init__(self, label_names: Sequence[str], rules: SegmentRules) -> None:
        self._label_names, self._rules = label_names, rules
        self._current: int | None = None
        # The stretches of rule 3: the latest one, into which its own gaps are closed, and the one before it that is
        # long enough, which it may yet join. The latest is part of the open segment once it is long itself.
        self._latest: _Stretch | None = None
        self._kept: _Stretch | None = None
        self._is_long = False

    def add(
        self, begin: float, stop: float, probabilities: Float[np.ndarray, " classes"] | None
    ) -> list[SegmentChange]:
        """Takes the next piece.

        Args:
          begin: the second at which it starts.
          stop: the second at which it ends.
          probabilities: of each class; None where no window covers it.

        Returns:
          The segments that are opened and closed now, in order.
        """
        changes: list[SegmentChange] = []
        label = None if probabilities is None else _label(probabilities, self._current, self._rules)
        if label is None or probabilities is None:
            self._current = None
        else:
            weighted = float(probabilities[label]) * (stop - begin)
            piece = _Stretch(begin, stop, self._label_names[label], weighted, stop - begin)
            if self._latest is not None and (label == self._current or self._joins(self._latest, piece)):
                self._latest = self._latest.joined(piece)
            else:
                self._settle()
                self._latest = piece
            self._current = label
        if self._latest is not None and self._current is None and self._is_over(self._latest, stop):
            self._settle()
        if self._latest is not None and not self._is_long and self._holds(self._latest):
            self._is_long = True
            if self._kept is not None and not self._joins(self._kept, self._latest):
                changes += self._close()
            if self._kept is None:
                changes.append(SegmentChange("opened", self._latest.segment()))
        if self._kept is not None and not self._is_long and self._is_over(self._kept, stop):
            pending = self._latest is not None and self._joins(self._kept, self._latest)
            changes += [] if pending else self._close()
        return changes

    def end(self) -> list[SegmentChange]:
        """Closes what is open; no piece comes after it."""
        self._settle()
        return self._close()

    def _settle(self) -> None:
        """Keeps the latest stretch if it is long; it grows no more."""
        if self._is_long and self._latest is not None:
            self._kept = self._latest if self._kept is None else self._kept.joined(self._latest)
        self._latest, self._is_long = None, False

    def _close(self) -> list[SegmentChange]:
        closed = [] if self._kept is None else [SegmentChange("closed", self._kept.segment())]
        self._kept = None
        return closed

    def _joins(self, before: "_Stretch", after: "_Stretch") -> bool:
        return before.label == after.label and not self._is_over(before, after.start)

    def _is_over(self, stretch: "_Stretch", now: float) -> bool:
        """Tells if nothing that begins at a second, or later, joins a stretch."""
        return now - stretch.end >= self._rules.min_length - _ROUNDING

    def _holds(self, stretch: "_Stretch") -> bool:
        return stretch.end - stretch.start >= self._rules.min_length - _ROUNDING


def find_segments(pieces: Iterable[Piece], label_names: Sequence[str], rules: SegmentRules) -> list[Segment]:
    """Finds the segments of pieces of time, rules 2 and 3.

    Args:
      pieces: of `smoothed`.
      label_names: name of each class.
      rules: where labels begin and end.

    Returns:
      The segments, in order; they do not overlap.
    """
    tracker = SegmentTracker(label_names, rules)
    changes = [change for piece in pieces for change in tracker.add(*piece)]
    return [change.segment for change in [*changes, *tracker.end()] if change.kind == "closed"]


def _label(probabilities: Float[np.ndarray, " classes"], current: int | None, rules: SegmentRules) -> int | None:
    best = int(np.argmax(probabilities))
    begins = probabilities[best] >= rules.enter
    if current is not None and probabilities[current] >= rules.leave:
        return best if begins and probabilities[best] > probabilities[current] else current
    return best if begins else None


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """A segment in the making; the sum of its label's probability over time, and that time."""

    start: float
    end: float
    label: str
    weighted: float
    weight: float

    def joined(self, other: "_Stretch") -> "_Stretch":
        """Goes on to the end of another, with the gap between them."""
        weighted, weight = self.weighted + other.weighted, self.weight + other.weight
        return _Stretch(self.start, other.end, self.label, weighted, weight)

    def segment(self) -> Segment:
        start, end = round(self.start, _DECIMALS), round(self.end, _DECIMALS)
        return Segment(start, end, self.label, self.weighted / self.weight)
