"""Prints a message even if the process is killed.

JAX ends a process whose run has lost another one from its own thread, without returning to Python. The operating system
kills processes when memory runs out. A shell that reads from a pipe survives both, and prints the message.
"""

import subprocess
from typing import IO

# Keeps the latest line; an empty one, the last of a process that ended by itself, says nothing.
_SHELL = 'while IFS= read -r line; do words=$line; done; if [ -n "$words" ]; then printf "%s\\n" "$words" >&2; fi'


class LastWords:
    """A line that is printed on standard error if the process ends before the context manager is left."""

    def __init__(self) -> None:
        # A session of its own, so that what is sent to the process and its group leaves the shell alone.
        self._shell = subprocess.Popen(["sh", "-c", _SHELL], stdin=subprocess.PIPE, text=True, start_new_session=True)

    def __enter__(self) -> "LastWords":
        """Returns the message; the shell is already waiting."""
        return self

    def __exit__(self, *_: object) -> None:
        """Withdraws the message."""
        self.change("")
        self._pipe.close()
        self._shell.wait()

    @property
    def _pipe(self) -> IO[str]:
        pipe = self._shell.stdin
        if pipe is None:
            raise ValueError("the shell was started without a pipe")
        return pipe

    def change(self, words: str) -> None:
        """Changes the message.

        Args:
          words: message printed if the process is killed, one line; "" disables it.
        """
        try:
            print(words, file=self._pipe, flush=True)
        except BrokenPipeError:  # somebody has ended the shell; training goes on without it
            return
