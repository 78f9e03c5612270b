"""The error of a connection that may come back, and how long to wait for it."""

import threading

from motion_vit.counts import counted
from motion_vit.errors import UserError

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


class LostConnectionError(Exception):
    """Error of a connection that was cut, refused or is silent.

    Attributes:
      reason: a clause.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reconnection:
    """Allows a number of attempts in a row to connect again, after pauses that double: 0.5, 1, 2, ... 10 seconds.

    Args:
      name: of the stream, for messages.
      attempts: in a row; 0 for none.
      stopped: ends a pause.
    """

    def __init__(self, name: str, attempts: int, stopped: threading.Event) -> None:
        self._name, self._attempts, self._stopped = name, attempts, stopped
        self._made = 0
        self._has_worked = False

    def worked(self) -> None:
        """Notes that something has come."""
        self._made, self._has_worked = 0, True

    def pause(self, error: LostConnectionError) -> None:
        """Waits before the next attempt.

        Args:
          error: why the connection is lost.

        Raises:
          UserError: nothing has ever come, or as many attempts have failed.
        """
        if not self._has_worked:
            raise UserError(f"{self._name} cannot be read: {error.reason}.") from None
        if self._made >= self._attempts:
            tried = f", and {counted(self._made, 'attempt')} to connect again failed" if self._made else ""
            raise UserError(f"{self._name} was lost: {error.reason}{tried}.") from None
        self._stopped.wait(min(_FIRST_PAUSE * 2**self._made, _LONGEST_PAUSE))
        self._made += 1
