"""Ranges of values that come from outside: each says in words what it takes, for the sentence of an error.

A range is stated once, where the value is defined: at the option of a model, in the table of recipe fields, at the
options of clips. Values are compared with it before anything is allocated or looped over. No test of a range takes
longer than the value is long, and no message is long however large the value is.
"""

import dataclasses
import itertools
import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

_SHOWN_ITEMS = 8
_SHOWN_LETTERS = 80
# Python refuses to write out numbers of more than 4300 digits.
_SHOWN_BITS = 256
_LONGEST_PATTERN = 1000
_MOST_RULES = 1000
_MOST_OPTIONS = 100
_LONGEST_NOTES = 100_000
_MOST_NOTES = 1000
_DEEPEST_NOTES = 16


@runtime_checkable
class Range(Protocol):
    """A range of values."""

    @property
    def expectation(self) -> str:
        """Words that follow "must be" in a message."""
        ...

    def holds(self, value: Any) -> bool:
        """Tells if a value is in the range; any value is answered.

        Args:
          value: whatever a file or a command line gave.
        """
        ...


class _Shown(reprlib.Repr):
    """Writes a value for a message, abbreviated."""

    def __init__(self) -> None:
        super().__init__()
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxfrozenset = _SHOWN_ITEMS
        self.maxstring = self.maxlong = self.maxother = _SHOWN_LETTERS

    def repr_int(self, value: int, level: int) -> str:
        """Writes a whole number; of a long one, its length."""
        if value.bit_length() > _SHOWN_BITS:
            return f"a whole number of {value.bit_length()} bits"
        return super().repr_int(value, level)


_SHOWN = _Shown()


def shown(value: Any) -> str:
    """Writes a value for a message, abbreviated where it is long."""
    return _SHOWN.repr(value)


def refusal(name: str, value: Any, expected: Range) -> str:
    """Makes the sentence of an error, without its full stop.

    Args:
      name: what the value is called.
      value: of any kind.
      expected: the range that does not hold it.
    """
    return f"{name} is {shown(value)}, but must be {expected.expectation}"


def problems(values: Mapping[str, Any], ranges: Mapping[str, Range]) -> list[str]:
    """Finds the values that are not in their ranges.

    Args:
      values: name -> value, of at least the names in `ranges`.
      ranges: name -> range.

    Returns:
      A sentence for each, without its full stop.
    """
    return [refusal(name, values[name], each) for name, each in ranges.items() if not each.holds(values[name])]


def check(name: str, value: Any, expected: Range) -> None:
    """Checks a value.

    Args:
      name: what the value is called.
      value: of any kind.
      expected: what it may be.

    Raises:
      ValueError: the range does not hold it.
    """
    if not expected.holds(value):
        raise ValueError(refusal(name, value, expected))


@dataclasses.dataclass(frozen=True)
class Whole:
    """Whole numbers from one to another; True and False are none.

    Attributes:
      least: the smallest one.
      most: the largest one.
      odd: why they must be odd, as a clause; "" where they need not be.
    """

    least: int
    most: int
    odd: str = ""

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        if self.odd:
            return f"an odd whole number from {self.least} to {self.most}: {self.odd}"
        return f"a whole number from {self.least} to {self.most}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is such a number."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.least <= value <= self.most and (not self.odd or value % 2 == 1)


@dataclasses.dataclass(frozen=True)
class Number:
    """Finite numbers from one to another; True and False are none.

    Attributes:
      least: the lower bound.
      most: the upper bound.
      above: whether the lower bound itself is left out.
      below: whether the upper bound itself is left out.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        lower = f"above {self.least:g}" if self.above else f"from {self.least:g}"
        upper = f"{'below ' if self.below else ''}{self.most:.10g}"
        return f"a number {lower} {'and at most' if self.above and not self.below else 'to'} {upper}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is such a number."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        # Also false for NaN.
        lower = self.least < value if self.above else self.least <= value
        return lower and (value < self.most if self.below else value <= self.most)


@dataclasses.dataclass(frozen=True)
class Flag:
    """True and False."""

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return "True or False"

    def holds(self, value: Any) -> bool:
        """Tells if a value is one of them."""
        return isinstance(value, bool)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A few values.

    Attributes:
      values: numbers, texts or None.
    """

    values: tuple[Any, ...]

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        if len(self.values) == 1:
            return repr(self.values[0])
        return f"one of {', '.join(map(str, self.values))}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is one of them; True is not 1."""
        return any(type(value) is type(each) and value == each for each in self.values)


NONE = Choice((None,))
"""None alone, for `Either`."""


@dataclasses.dataclass(frozen=True)
class Text:
    """Texts up to a length.

    Attributes:
      longest: the most letters.
    """

    longest: int

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return f"a text of at most {self.longest} letters"

    def holds(self, value: Any) -> bool:
        """Tells if a value is such a text."""
        return isinstance(value, str) and len(value) <= self.longest


@dataclasses.dataclass(frozen=True)
class Items:
    """Tuples and lists of some length.

    Attributes:
      item: range of each item.
      least: the fewest items.
      most: the most items.
      purpose: what each is for, as a clause, such as "one a stage"; "" to leave it out.
      order: "rising", from each to the next, "not falling", or "any".
    """

    item: Range
    least: int
    most: int
    purpose: str = ""
    order: Literal["any", "rising", "not falling"] = "any"

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        count = str(self.most) if self.least == self.most else f"{self.least} to {self.most}"
        order = "" if self.order == "any" else f" in {self.order} order"
        purpose = f", {self.purpose}" if self.purpose else ""
        return f"a tuple of {count} items{order}{purpose}, each {self.item.expectation}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is such a tuple or list."""
        # The length comes first: items of a long list are not looked at.
        if not isinstance(value, tuple | list) or not self.least <= len(value) <= self.most:
            return False
        if not all(map(self.item.holds, value)):
            return False
        pairs = itertools.pairwise(value)
        if self.order == "rising":
            return all(before < after for before, after in pairs)
        return self.order == "any" or all(before <= after for before, after in pairs)


@dataclasses.dataclass(frozen=True)
class Either:
    """Values of either of two ranges.

    Attributes:
      first: one of them.
      second: the other one.
    """

    first: Range
    second: Range

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return f"{self.first.expectation}, or {self.second.expectation}"

    def holds(self, value: Any) -> bool:
        """Tells if one of them holds a value."""
        return self.first.holds(value) or self.second.holds(value)


@dataclasses.dataclass(frozen=True)
class Rules:
    """Pairs of a regular expression and what is set for the parameters whose path it matches.

    Attributes:
      value: range of what is set.
    """

    value: Range

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return (
            f"a tuple of at most {_MOST_RULES} pairs, each of a regular expression of at most {_LONGEST_PATTERN} "
            f"letters and {self.value.expectation}"
        )

    def holds(self, value: Any) -> bool:
        """Tells if a value is made of such pairs."""
        return isinstance(value, tuple | list) and len(value) <= _MOST_RULES and all(map(self._is_rule, value))

    def _is_rule(self, rule: Any) -> bool:
        if not isinstance(rule, tuple | list) or len(rule) != 2:
            return False
        return Text(_LONGEST_PATTERN).holds(rule[0]) and self.value.holds(rule[1])


@dataclasses.dataclass(frozen=True)
class Options:
    """Mappings of names to values that what they are options of checks."""

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return f"a mapping of at most {_MOST_OPTIONS} option names to values"

    def holds(self, value: Any) -> bool:
        """Tells if a value is such a mapping."""
        return isinstance(value, Mapping) and len(value) <= _MOST_OPTIONS and all(isinstance(key, str) for key in value)


@dataclasses.dataclass(frozen=True)
class Notes:
    """None, texts, and mappings of names to what JSON holds: for what people write down, and no program reads."""

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        return (
            f"a text of at most {_LONGEST_NOTES} letters, or a mapping of names to texts, numbers, True, False, None, "
            f"lists and mappings, with at most {_MOST_NOTES} of them in {_DEEPEST_NOTES} levels"
        )

    def holds(self, value: Any) -> bool:
        """Tells if a value is of that kind."""
        if value is None or isinstance(value, str):
            return value is None or len(value) <= _LONGEST_NOTES
        if not isinstance(value, Mapping):
            return False
        # Level by level, so that neither depth nor cycles matter.
        level: list[Mapping[str, Any] | Sequence[Any]] = [value]
        left = _MOST_NOTES
        for _ in range(_DEEPEST_NOTES):
            below: list[Any] = []
            for each in level:
                left -= len(each)
                if left < 0 or (isinstance(each, Mapping) and not all(isinstance(key, str) for key in each)):
                    return False
                below += each.values() if isinstance(each, Mapping) else each
            if not all(map(_is_note, below)):
                return False
            level = [each for each in below if isinstance(each, Mapping | list | tuple)]
        return not level


def _is_note(value: Any) -> bool:
    """Tells if a value can be one of a mapping of notes; what collections hold is left aside."""
    if isinstance(value, str):
        return len(value) <= _LONGEST_NOTES
    if isinstance(value, int):
        return value.bit_length() <= _SHOWN_BITS
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, Mapping | list | tuple)


@dataclasses.dataclass(frozen=True)
class LikeDefault:
    """Values of the kind of a default, for options whose class states no range.

    Attributes:
      default: of the option; its items stand for those of other tuples.
      kind: its class or, for None, that of the values beside it.
    """

    default: Any
    kind: type

    @property
    def expectation(self) -> str:
        """Words that follow "must be"."""
        example = "or None" if self.default is None else f"such as {shown(self.default)}"
        finite = " and finite" if self.kind in (int, float, tuple) else ""
        return f"of type {self.kind.__name__}{finite}, {example}"

    def holds(self, value: Any) -> bool:
        """Tells if a value is of the kind, and its numbers finite and of the kind of the default's."""
        if value is None and self.default is None:
            return True
        if isinstance(self.default, tuple):
            return isinstance(value, tuple) and all(map(self._is_like_item, value))
        return _is_of_kind(value, self.kind)

    def _is_like_item(self, item: Any) -> bool:
        return _is_of_kind(item, type(self.default[0]) if self.default else object)


def _is_of_kind(value: Any, kind: type) -> bool:
    """Tells if a value is of a class; whole numbers are also floats, and True and False are no numbers."""
    if isinstance(value, bool) and kind is not bool and kind is not object:
        return False
    if not isinstance(value, (float, int) if kind is float else kind):
        return False
    return not isinstance(value, float) or math.isfinite(value)


FRAMES = Whole(1, 16384)
"""Frames of a clip."""

IMAGE_SIDE = Whole(1, 16384)
"""Height and width of a clip in pixels."""

CLASSES = Whole(1, 1_000_000)
"""Classes that a model tells apart."""

STEP = Whole(0, 10**12)
"""A step of training, 0 before the first."""

SEED = Whole(0, 2**32 - 1)
"""What random numbers are drawn from."""

PROBABILITY = Number(0, 1, below=True)
"""Probability of dropping something: not of all."""

SHARE = Number(0, 1)
"""A share of a whole."""
