"""A framework in its own process, with its own memory and threads."""

import dataclasses
import importlib
import multiprocessing
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

RUNNERS = {"jax": ("jax_runner", "JaxRunner"), "pytorch": ("torch_runner", "TorchRunner")}


@dataclasses.dataclass(frozen=True)
class Answer:
    """The result of a call in a framework's process.

    Attributes:
      value: the return value.
      seconds: duration of the call in the process.
      error: the traceback, if it failed.
    """

    value: Any
    seconds: float
    error: str | None = None


class Framework:
    """A process that makes a runner and calls its methods on request.

    Args:
      name: for the report.
      runner: a key of `RUNNERS`.
      **options: arguments of the runner.

    Attributes:
      left_out: why it is not called any more; "" while it is.
    """

    left_out = ""

    def __init__(self, name: str, runner: str, **options: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *RUNNERS[runner], options), daemon=True)
        self._process.start()
        self._receive()

    def call(self, method: str, *args: Any) -> Answer:
        """Calls a method of the runner and waits for the answer."""
        self._connection.send((method, args))
        return self._receive()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join()

    def _receive(self) -> Answer:
        answer: Answer = self._connection.recv()
        if answer.error:
            raise RuntimeError(f"in the {self.name} process:\n{answer.error}")
        return answer


def _serve(connection: Connection, module: str, runner_class: str, options: Mapping[str, Any]) -> None:
    """Makes a runner and answers calls; the body of a framework's process."""
    try:
        runner = getattr(importlib.import_module(module), runner_class)(**options)
        connection.send(Answer(None, 0.0))
        while True:
            name, args = connection.recv()
            connection.send(timed_call(runner, name, *args))
    except EOFError:
        return
    except Exception:
        connection.send(Answer(None, 0.0, traceback.format_exc()))


def timed_call(runner: Any, method: str, *args: Any) -> Answer:
    """Calls a method of a runner, which waits for its device before it returns."""
    start = time.perf_counter()
    value = getattr(runner, method)(*args)
    return Answer(value, time.perf_counter() - start)
