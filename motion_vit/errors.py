"""The error for a user's mistake, anywhere in the library, and suggestions for its message."""

import difflib
from collections.abc import Iterable

from motion_vit.outside_text import lines_for_terminal

# Characters of a line of a message: it has a sentence or two, and names and paths, which may be of any length.
_LONGEST_LINE = 2000


class UserError(Exception):
    """A mistake in an input of the library: a config, a list file, a video, a checkpoint.

    Its message says what was given, what was expected and what to do next. The command line prints the message alone,
    without a traceback, and exits with status 2. Wherever it is printed, what names from outside hold for a terminal to
    obey is written as escape sequences of Python, and the middle of very long lines is left out.
    """

    def __str__(self) -> str:
        """Writes the message."""
        return lines_for_terminal(self._message(), _LONGEST_LINE)

    def _message(self) -> str:
        """Writes the message as it was given; classes with other arguments have their own."""
        return super().__str__()


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Suggests a known name that is close to an unknown one.

    Args:
      given: the unknown name; configs may hold something else in its place.
      known: all valid names.

    Returns:
      A question that starts with a space, to end a message with; "" if no name is close.
    """
    if not isinstance(given, str):
        return ""
    names = list(known)
    near = [name for name in names if name.casefold() == given.casefold()] or difflib.get_close_matches(
        given, names, n=1
    )
    return f" Did you mean {near[0]!r}?" if near else ""
