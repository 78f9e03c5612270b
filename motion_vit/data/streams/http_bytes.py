"""Reads the bytes of an HTTP or HTTPS address, in Python: FFmpeg is given bytes and never a connection.

Nothing that the bytes say is followed, nor is a redirection. A cut connection is taken up again where it was cut, if
the length of the whole is known: that is a file on a server. Of a stream without length the next connection is another
beginning, for whoever decodes it.
"""

import contextlib
import http
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator

from motion_vit.data.streams.address import Address, without_login
from motion_vit.data.streams.lost_connection import LostConnectionError, Reconnection
from motion_vit.data.video.accepted_formats import HEAD_BYTES
from motion_vit.errors import UserError

_PART = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
_SKIPPED_AT_ONCE = 1 << 16


class HttpBytes:
    """The bytes of one answer of a server, and of those that continue it.

    Args:
      address: of scheme http or https.
      timeout: seconds to wait for a connection, and for each piece.
      reconnection: how often to connect again where the length is known.
      stopped: once it is set, there are no more bytes.

    Attributes:
      head: its first `HEAD_BYTES` bytes, as far as they were read.
      failure: what `read` raised last; FFmpeg may make something else of it.

    Raises:
      UserError: the server refuses.
      LostConnectionError: no connection, or no answer in time.
    """

    def __init__(self, address: Address, timeout: float, reconnection: Reconnection, stopped: threading.Event) -> None:
        self._address, self._timeout = address, timeout
        self._reconnection, self._stopped = reconnection, stopped
        self._socket: socket.socket | None = None
        self._position = 0
        self._length: int | None = None
        self.head = b""
        self.failure: Exception | None = None
        self._answer = self._connect()
        self._length = self._answer.length

    def read(self, size: int) -> bytes:
        """Waits for bytes.

        Args:
          size: the most.

        Returns:
          Bytes; b"" at the end.

        Raises:
          UserError: the connection is lost for good.
          LostConnectionError: it is lost, and the length is not known.
        """
        try:
            return self._read(size)
        except Exception as error:
            self.failure = error
            raise

    def close(self) -> None:
        """Ends the connection."""
        self.interrupt()
        self._answer.close()

    def interrupt(self) -> None:
        """Ends a wait of `read` in another thread."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self, size: int) -> bytes:
        while not self._stopped.is_set():
            try:
                data = self._piece(size)
            except LostConnectionError as error:
                if self._length is None or self._stopped.is_set():
                    raise
                self._continue(error)
                continue
            self._position += len(data)
            if self._length is not None:
                self._reconnection.worked()
            if len(self.head) < HEAD_BYTES:
                self.head = (self.head + data)[:HEAD_BYTES]
            return data
        return b""

    def _piece(self, size: int) -> bytes:
        with _as_lost(self._timeout):
            data = self._answer.read1(size)
        if not data and self._answer.length:
            raise LostConnectionError("the server has cut the connection")
        return data

    def _continue(self, error: LostConnectionError) -> None:
        """Connects again, at the byte where the connection was lost."""
        while not self._stopped.is_set():
            self._reconnection.pause(error)
            self.close()
            try:
                self._answer = self._connect()
                found = _PART.fullmatch(self._answer.headers.get("Content-Range", ""))
                if self._answer.status == http.HTTPStatus.PARTIAL_CONTENT and found:
                    whole, skipped = int(found[2]), self._position - int(found[1])
                else:
                    whole, skipped = self._answer.length or -1, self._position
                if whole != self._length or skipped < 0:
                    raise UserError(f"{self._address.shown} was lost, and the server now has something else there.")
                while skipped > 0 and (data := self._piece(min(skipped, _SKIPPED_AT_ONCE))):
                    skipped -= len(data)
                return
            except LostConnectionError as again:
                error = again

    def _connect(self) -> http.client.HTTPResponse:
        address = self._address
        is_plain = address.scheme == "http"
        kind = http.client.HTTPConnection if is_plain else http.client.HTTPSConnection
        headers = {"User-Agent": "motion_vit", "Accept": "*/*", "Connection": "close"}
        if address.authorization:
            headers["Authorization"] = address.authorization
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        connection = kind(address.host, address.port, timeout=self._timeout)
        with _as_lost(self._timeout), contextlib.ExitStack() as unless_answered:
            unless_answered.callback(connection.close)
            connection.connect()
            # The connection lets go of it once the answer has begun.
            self._socket = connection.sock
            connection.request("GET", address.target, headers=headers)
            answer = connection.getresponse()
            unless_answered.pop_all()
        self._check(answer)
        return answer

    def _check(self, answer: http.client.HTTPResponse) -> None:
        """Refuses answers that bring no stream."""
        if answer.status in (http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT):
            return
        said = f"{answer.status} {without_login(answer.reason or '')}".strip()
        where = answer.headers.get("Location")
        answer.close()
        if where is not None and 300 <= answer.status < 400:
            raise UserError(
                f"{self._address.shown} leads to {without_login(where)}, which is not followed; give that address if "
                "you trust it."
            )
        if answer.status >= 500:
            raise LostConnectionError(f"the server answers {said}")
        advice = "check the address"
        if answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            advice = "check user and password, as in http://USER:PASSWORD@HOST/PATH"
        raise UserError(f"{self._address.shown} cannot be read: the server answers {said}; {advice}.")


@contextlib.contextmanager
def _as_lost(timeout: float) -> Iterator[None]:
    try:
        yield
    except http.client.HTTPException:
        raise LostConnectionError("the server has cut the connection, or does not speak HTTP") from None
    except TimeoutError:
        raise LostConnectionError(f"nothing has come for {timeout:g} s") from None
    except socket.gaierror:
        raise LostConnectionError("there is no host of this name, or no network") from None
    except ssl.SSLCertVerificationError as error:
        raise LostConnectionError(f"its certificate is not trusted ({error.verify_message})") from None
    except ssl.SSLError as error:
        raise LostConnectionError(f"its encryption failed ({error.reason or 'TLS'})") from None
    except OSError as error:
        raise LostConnectionError((error.strerror or type(error).__name__).lower()) from None
