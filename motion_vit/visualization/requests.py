"""Checks what is asked of a visualization, before anything is computed."""

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from motion_vit.errors import UserError, did_you_mean

_Choice = TypeVar("_Choice", bound=str)


def texts(given: str | Iterable[str], name: str) -> tuple[str, ...]:
    """Lists the entries of an argument that takes several texts.

    Args:
      given: the texts, or a single one.
      name: of the argument.

    Returns:
      The texts; one that is given alone as the only entry.

    Raises:
      UserError: it is something else.
    """
    entries = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    for entry in entries:
        if not isinstance(entry, str):
            raise UserError(f"{name} is {given!r}, but must be a text or a list of texts.")
    return entries


def choices(given: _Choice | Iterable[_Choice], name: str, known: Sequence[_Choice]) -> tuple[_Choice, ...]:
    """Lists the entries of an argument that takes some of several words.

    Args:
      given: the words, or a single one.
      name: of the argument.
      known: the words that there are.

    Returns:
      The words; one that is given alone as the only entry.

    Raises:
      UserError: it is something else, or there is no such word.
    """
    for entry in texts(given, name):
        if entry not in known:
            raise UserError(
                f"{name} has {entry!r}, but each entry must be one of {', '.join(known)}.{did_you_mean(entry, known)}"
            )
    return tuple(word for entry in texts(given, name) for word in known if word == entry)


def place(point: Any) -> tuple[float, float] | None:
    """Checks a place in a video.

    Args:
      point: (y, x) in pixels, or None for no place.

    Returns:
      The place.

    Raises:
      UserError: it is something else.
    """
    if point is None:
        return None
    entries = tuple(point) if isinstance(point, Iterable) and not isinstance(point, str) else ()
    if len(entries) != 2 or not all(isinstance(entry, numbers.Real) and math.isfinite(entry) for entry in entries):
        raise UserError(f"point is {point!r}, but must be two numbers (y, x): pixels of the video.")
    return float(entries[0]), float(entries[1])


def check_class_names(classes: Any) -> None:
    """Checks that classes are named in one text.

    Args:
      classes: the argument.

    Raises:
      UserError: they are not.
    """
    if not isinstance(classes, str):
        raise UserError(f"classes is {classes!r}, but must be a text: a class, or two to compare as 'one,other'.")


def check_temperature(temperature: Any) -> None:
    """Checks a divisor of affinities.

    Args:
      temperature: the argument.

    Raises:
      UserError: it is no finite number above 0.
    """
    if not isinstance(temperature, numbers.Real) or not 0 < float(temperature) < math.inf:
        raise UserError(f"temperature is {temperature!r}, but must be a number above 0.")
