"""A server of predictions in a thread of the tests, and plain requests to it."""

import contextlib
import http.client
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from motion_vit.serving.classifier import Classifier
from motion_vit.serving.server import PredictionServer
from motion_vit.serving.settings import ServerSettings
from motion_vit.training.checkpoints.trained_model import TrainedModel

_SECONDS = 60.0
BOUNDARY = "b0undary"


class Answer:
    """What a server answered.

    Args:
      status: of HTTP.
      headers: by name in lower case.
      body: bytes.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of a refusal."""
        sentence: str = self.json["error"]
        return sentence


class RunningServer:
    """A server that runs.

    Args:
      url: where.
      workers: processes that decode for it, as it began.
      stop: stops it.
    """

    def __init__(self, url: str, workers: list[Any], stop: Callable[[], None]) -> None:
        self.url, self.workers, self.stop = url, workers, stop
        self.host, _, port = url.removeprefix("http://").rpartition(":")
        self.port = int(port)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a request, and waits for its answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it answered before it had all
                connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def predict(self, video: bytes, query: str = "", **fields: str) -> Answer:
        """Sends a video as a form."""
        return self.ask("POST", f"/predict{query}", form(video, **fields), FORM_TYPE)

    def raw(self, data: bytes) -> socket.socket:
        """Opens a connection and sends what need not be HTTP."""
        connection = socket.create_connection((self.host, self.port), timeout=_SECONDS)
        connection.sendall(data)
        return connection

    def signal_workers(self, number: int) -> None:
        """Sends a signal to the processes that decode."""
        for worker in self.workers:
            os.kill(worker.pid, number)

    def metric(self, line: str) -> float:
        """A number of /metrics; 0.0 where it was not counted yet."""
        lines = dict(text.rsplit(" ", 1) for text in self.ask("GET", "/metrics").body.decode().splitlines())
        return float(lines.get(line, 0.0))

    def wait_for_metric(self, line: str, value: float) -> None:
        """Waits until a number of /metrics is as given."""
        end = time.monotonic() + _SECONDS
        while self.metric(line) != value:
            assert time.monotonic() < end, f"{line} is {self.metric(line)}"
            time.sleep(0.01)


FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form(video: bytes, *, name: str = "clip.mp4", **fields: str) -> bytes:
    """Makes a form with a video, and fields before it."""
    parts = [part(f'name="{field}"', value.encode()) for field, value in fields.items()]
    return b"".join([*parts, part(f'name="video"; filename="{name}"', video), f"--{BOUNDARY}--\r\n".encode()])


def part(disposition: str, content: bytes) -> bytes:
    """Makes a part of a form."""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


@contextlib.contextmanager
def running_server(trained: TrainedModel, **settings: Any) -> Iterator[RunningServer]:
    """Runs a server at a free port until it is no longer needed.

    Args:
      trained: the model.
      **settings: of `ServerSettings`.

    Yields:
      The server, ready.
    """
    before = multiprocessing.active_children()
    promotion = jax.config.jax_numpy_dtype_promotion
    # Flax's own layers rely on it. A context manager would hold for this thread alone.
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    server = PredictionServer(Classifier(trained), ServerSettings(**({"port": 0} | settings)))
    ready = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run(on_ready=ready.set)
        except BaseException as error:
            failures.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(_SECONDS)
        if failures:
            raise failures[0]
        workers = [one for one in multiprocessing.active_children() if one not in before]
        yield RunningServer(server.url, workers, server.stop)
    finally:
        # Those that a test has stopped would never end.
        for worker in [one for one in multiprocessing.active_children() if one not in before]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid or 0, signal.SIGCONT)
        server.stop()
        thread.join(_SECONDS)
        jax.config.update("jax_numpy_dtype_promotion", promotion)
    assert not thread.is_alive()
    assert [one for one in multiprocessing.active_children() if one not in before] == []
