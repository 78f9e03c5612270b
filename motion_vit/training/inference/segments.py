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

import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.ranges import SHARE, Number, problems

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


def smoothed(
    windows: Iterable[WindowProbabilities], hop: float, start: float
) -> Iterator[tuple[float, float, Float[np.ndarray, " classes"] | None]]:
    """Averages windows over pieces of time, rule 1. It holds the windows that overlap, not all.

    Args:
      windows: in order.
      hop: seconds of a piece.
      start: the second at which the first piece starts.

    Yields:
      Start and end of a piece, and the mean probabilities; None where no window covers its middle.
    """
    covering: collections.deque[WindowProbabilities] = collections.deque()
    piece = 0
    end = start

    def closed(until: float) -> Iterator[tuple[float, float, Float[np.ndarray, " classes"] | None]]:
        """Yields the pieces whose middles lie before a second: no later window covers these."""
        nonlocal piece
        while (begin := start + piece * hop) + hop / 2 < until - _ROUNDING and begin < end - _ROUNDING:
            stop = min(begin + hop, end)
            middle = (begin + stop) / 2
            while covering and covering[0].end <= middle:
                covering.popleft()
            found = [one.probabilities for one in covering if one.start <= middle and one.probabilities is not None]
            yield begin, stop, np.mean(found, axis=0) if found else None
            piece += 1

    for window in windows:
        yield from closed(window.start)
        covering.append(window)
        end = max(end, window.end)
    yield from closed(np.inf)


def find_segments(
    pieces: Iterable[tuple[float, float, Float[np.ndarray, " classes"] | None]],
    label_names: Sequence[str],
    rules: SegmentRules,
) -> list[Segment]:
    """Finds the segments of pieces of time, rules 2 and 3.

    Args:
      pieces: of `smoothed`.
      label_names: name of each class.
      rules: where labels begin and end.

    Returns:
      The segments, in order; they do not overlap.
    """
    return _merged(list(_labelled(pieces, label_names, rules)), rules.min_length)


def _labelled(
    pieces: Iterable[tuple[float, float, Float[np.ndarray, " classes"] | None]],
    label_names: Sequence[str],
    rules: SegmentRules,
) -> Iterator["_Stretch"]:
    """Yields the stretches of time in which one label holds, rule 2."""
    held: _Stretch | None = None
    current: int | None = None
    for begin, stop, probabilities in pieces:
        label = None if probabilities is None else _label(probabilities, current, rules)
        if label != current and held is not None:
            yield held
            held = None
        current = label
        if label is None or probabilities is None:
            continue
        share = float(probabilities[label])
        if held is None:
            held = _Stretch(begin, stop, label_names[label], share * (stop - begin), stop - begin)
        else:
            held = dataclasses.replace(
                held, end=stop, weighted=held.weighted + share * (stop - begin), weight=held.weight + stop - begin
            )
    if held is not None:
        yield held


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


def _merged(stretches: list[_Stretch], min_length: float) -> list[Segment]:
    """Closes short gaps and drops short segments, rule 3."""
    joined = _joined(stretches, min_length)
    long = [one for one in joined if one.end - one.start >= min_length - _ROUNDING]
    return [
        Segment(round(one.start, _DECIMALS), round(one.end, _DECIMALS), one.label, one.weighted / one.weight)
        for one in _joined(long, min_length)
    ]


def _joined(stretches: list[_Stretch], min_length: float) -> list[_Stretch]:
    joined: list[_Stretch] = []
    for one in stretches:
        last = joined[-1] if joined else None
        if last is not None and last.label == one.label and one.start - last.end < min_length - _ROUNDING:
            weight = last.weight + one.weight
            joined[-1] = _Stretch(last.start, one.end, one.label, last.weighted + one.weighted, weight)
        else:
            joined.append(one)
    return joined
