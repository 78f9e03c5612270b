"""What is said for a process that is ended from outside.

JAX ends a process whose run has lost another one from a thread of its own, without a way back into Python; so does the
operating system that is short of memory. A shell that waits at the end of a pipe survives both, and speaks.
"""

import subprocess
from typing import IO

# Keeps the latest line; an empty one, the last of a process that ended by itself, says nothing.
_SHELL = 'while IFS= read -r line; do words=$line; done; if [ -n "$words" ]; then printf "%s\\n" "$words" >&2; fi'


class LastWords:
    """A line that appears on standard error if this process ends before the context manager is left."""

    def __init__(self) -> None:
        # A session of its own, so that what is sent to the process and its group leaves the shell alone.
        self._shell = subprocess.Popen(["sh", "-c", _SHELL], stdin=subprocess.PIPE, text=True, start_new_session=True)

    def __enter__(self) -> "LastWords":
        """Nothing: the shell waits."""
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the words back."""
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
        """Says something else from now on.

        Args:
          words: one line; nothing is said for an empty one.
        """
        try:
            print(words, file=self._pipe, flush=True)
        except BrokenPipeError:  # somebody has ended the shell; training goes on without it
            return
