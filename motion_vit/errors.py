"""The error that a person's mistake raises, anywhere in the library, and what its message may suggest."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the library was given: a config, a list file, a video, a checkpoint.

    Its message says what was given, what was expected and what to do next. The command line prints the message alone,
    without a traceback, and exits with status 2.
    """


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Asks whether a name that is close to an unknown one was meant.

    Args:
      given: the unknown name.
      known: the names that there are.

    Returns:
      A question that starts with a space, to end a message with; "" if no name is close.
    """
    near = difflib.get_close_matches(given, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
