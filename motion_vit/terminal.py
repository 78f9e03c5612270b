"""The output of commands: a terminal obeys nothing that a label or a file name holds.

`safe_output` stands around a command. What is printed inside it, by this library or by one that it uses, passes a
`SafeStream`, also error messages, warnings and logs. Only bars that are drawn over themselves go past it.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from motion_vit.outside_text import lines_for_terminal


class SafeStream:
    """A stream that writes what a terminal would obey, and what it cannot encode, as escape sequences of Python.

    Args:
      stream: where the text goes; anything but writing is done by it.

    Attributes:
      stream: the same.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes text; line breaks and tabs stay as they are.

        Args:
          text: with parts from outside.

        Returns:
          The characters of `text`.
        """
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(lines_for_terminal(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Writes several texts.

        Args:
          lines: the texts.
        """
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Returns what else the stream has."""
        return getattr(self.stream, name)


def safe_stream(stream: Any) -> Any:
    """Makes a stream safe, once.

    Args:
      stream: of text: of a process, or a log that will be read on a terminal.

    Returns:
      A `SafeStream`.
    """
    return stream if isinstance(stream, SafeStream) else SafeStream(stream)


def bare_stream(stream: Any) -> Any:
    """Returns the stream behind a safe one, for bars: they move the cursor, and have no text from outside.

    Args:
      stream: a stream of text, safe or not. Few have all that `TextIO` asks for, such as those of notebooks.
    """
    return stream.stream if isinstance(stream, SafeStream) else stream


@contextlib.contextmanager
def safe_output() -> Iterator[None]:
    """Makes standard output and standard error safe for a while."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(safe_stream, streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
