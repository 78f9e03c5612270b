"""A server on this machine that answers each connection as a test says."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[socket.socket, str, int], None]
"""Answers one connection: what was asked, and the number of the connection from 0."""


@contextlib.contextmanager
def stream_server(answer: Answer) -> Iterator[int]:
    """Serves until the block ends.

    Args:
      answer: called in a thread for each connection, which is closed behind it.

    Yields:
      The port.
    """
    count = iter(range(1_000_000))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            asked = b""
            with contextlib.suppress(OSError):
                while b"\r\n\r\n" not in asked and (data := self.request.recv(4096)):
                    asked += data
                answer(self.request, asked.decode("latin-1"), next(count))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def http_head(status: str = "200 OK", **headers: object) -> bytes:
    """The head of an answer; `_` in names stands for `-`."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1")


def in_chunks(data: bytes, size: int) -> bytes:
    """The data as HTTP's chunks, without the last, empty one."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def cut(connection: socket.socket) -> None:
    """Cuts a connection without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
