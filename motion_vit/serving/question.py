"""Reads the question of a request: fields of a form or of the address, as `motion-vit predict` has them as options."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from motion_vit.data.batches.window_views import WINDOW, Windows
from motion_vit.data.sources.list_file import MOST_SECONDS
from motion_vit.data.video.probing import check_window
from motion_vit.errors import UserError, did_you_mean
from motion_vit.ranges import SHARE, Number, Range, Whole, shown
from motion_vit.training.inference.segments import SegmentRules

_SECONDS = Number(0, MOST_SECONDS)
_RANGES: dict[str, Range] = {
    "top": Whole(1, 1_000_000),
    "start": _SECONDS,
    "end": _SECONDS,
    "window": WINDOW,
    "hop": WINDOW,
    "enter": SHARE,
    "leave": SHARE,
    "min_length": _SECONDS,
}
FIELDS = tuple(_RANGES)
"""Names of the fields."""

LONGEST_VALUE = 100
"""Characters of a field."""

_OF_TIMELINES = ("hop", "enter", "leave", "min_length")


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about a video.

    Attributes:
      top: how many classes to name, or "all".
      start: the second of the video to start at.
      end: the second to end before; None for its end.
      windows: the windows of a timeline; None for one answer for the whole part.
      rules: where the labels of a timeline begin and end.
    """

    top: int | Literal["all"] = 5
    start: float = 0.0
    end: float | None = None
    windows: Windows | None = None
    rules: SegmentRules = dataclasses.field(default_factory=SegmentRules)


def read_question(fields: Iterable[tuple[str, str]]) -> Question:
    """Reads the fields of a request.

    Args:
      fields: names and values, from outside.

    Returns:
      The question.

    Raises:
      UserError: a field is unknown, comes twice, is out of range, or does not go with the others.
    """
    given: dict[str, float | Literal["all"]] = {}
    for name, text in fields:
        if name in given:
            raise UserError(f"the field {name} comes twice; give it once.")
        given[name] = _value(name, text)
    top = given.get("top", 5)
    numbers = {name: value for name, value in given.items() if not isinstance(value, str) and name != "top"}
    start, end, window = numbers.get("start", 0.0), numbers.get("end"), numbers.get("window")
    check_window(start, end)
    if window is None:
        if needless := [name for name in _OF_TIMELINES if name in given]:
            raise UserError(f"the field {needless[0]} is for timelines; give window, too, such as window=2s.")
        return Question("all" if top == "all" else int(top), start, end)
    if "top" in given:
        raise UserError(
            "the field top is for whole videos; a timeline, which window asks for, has one label at a time."
        )
    rules = SegmentRules.of(numbers.get("enter"), numbers.get("leave"), numbers.get("min_length"))
    return Question(start=start, end=end, windows=Windows.of(window, numbers.get("hop"), start, end), rules=rules)


def check_field(name: str) -> None:
    """Checks the name of a field, before its value is read.

    Args:
      name: from outside.

    Raises:
      UserError: there is no such field.
    """
    if name not in _RANGES:
        raise UserError(
            f"there is no field {shown(name)}; the fields are video and {', '.join(FIELDS)}."
            f"{did_you_mean(name[:LONGEST_VALUE], ['video', *FIELDS])}"
        )


def _value(name: str, text: str) -> float | Literal["all"]:
    check_field(name)
    if name == "top" and text == "all":
        return "all"
    expected = _RANGES[name]
    short = text[: LONGEST_VALUE + 1]
    try:
        value = int(short) if name == "top" else float(short if expected is SHARE else short.removesuffix("s"))
    except ValueError:
        value = None
    if value is None or len(text) > LONGEST_VALUE or not expected.holds(value):
        also = ", or all" if name == "top" else ""
        raise UserError(f"the field {name} is {shown(text)}, but must be {expected.expectation}{also}.")
    return value
