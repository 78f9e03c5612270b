"""Listens at an address, answers requests until it is told to stop, and finishes what it has begun."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn

from motion_vit.errors import UserError
from motion_vit.ranges import shown
from motion_vit.serving.app import PredictionApp
from motion_vit.serving.classifier import Classifier
from motion_vit.serving.connection import PromptConnection
from motion_vit.serving.settings import ServerSettings

# Connections beside those of requests that have a place: of the page, of probes, and of those that are to be refused.
_SPARE_CONNECTIONS = 256
# Seconds more than the limit of a request until a stopped server ends what hangs.
_GRACE_SECONDS = 5


class PredictionServer:
    """A server that listens; it answers once it runs.

    Args:
      classifier: the model.
      settings: bounds.

    Attributes:
      url: where it is.

    Raises:
      UserError: the address is not of this machine, or taken.
    """

    def __init__(self, classifier: Classifier, settings: ServerSettings) -> None:
        # It warns of every form that is none, and strangers can send as many of them as they like.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        self._socket = _listen(settings.host, settings.port)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._app = PredictionApp(classifier, settings, self._warming)
        self._on_ready: Callable[[], None] = lambda: None
        self._failure: Exception | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app.asgi,
                interface="asgi3",
                http=PromptConnection,
                loop="asyncio",
                ws="none",
                lifespan="on",
                access_log=False,
                log_level="error",
                proxy_headers=False,
                server_header=False,
                limit_concurrency=settings.places + _SPARE_CONNECTIONS,
                timeout_graceful_shutdown=math.ceil(settings.time_limit) + _GRACE_SECONDS,
            )
        )

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Answers requests until the server is stopped, by `stop`, SIGTERM or Ctrl-C; then finishes those it has taken.

        Args:
          on_ready: called in another thread once the model is compiled.

        Raises:
          UserError: the model cannot be used.
        """
        self._on_ready = on_ready
        try:
            with _answered_signals():
                self._server.run(sockets=[self._socket])
        finally:
            self._app.close()
            self._socket.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stops the server; any thread may call it."""
        self._server.should_exit = True

    @contextlib.asynccontextmanager
    async def _warming(self) -> AsyncIterator[None]:
        """Compiles the model while the server answers that it is not ready."""
        task = asyncio.create_task(asyncio.to_thread(self._make_ready))
        yield
        await task

    def _make_ready(self) -> None:
        try:
            self._app.make_ready()
            self._on_ready()
        except Exception as error:  # whatever it is, a server that never is ready is of no use
            self._failure = error
            self.stop()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise UserError(
            f"the server cannot listen at {shown(host)}, port {port}: {reason}. Choose another --port, 0 for any "
            "free one, or a --host of this machine, such as 127.0.0.1."
        ) from error


@contextlib.contextmanager
def _answered_signals() -> Iterator[None]:
    """Takes the signals that uvicorn raises anew once it has stopped for them, which would end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
