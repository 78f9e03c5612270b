"""Several processes that train as one: they join, share errors, and end together.

Every process runs the same program on its own devices and its own part of every batch. If one fails alone, the others
wait for it forever. Therefore an error is either shared with all processes, which then end together
(`errors_together`), or ends the process at once (`exit_on_error`), which the others notice.
"""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from motion_vit.errors import UserError
from motion_vit.training.parallel.cluster import cluster_arguments
from motion_vit.training.parallel.last_words import LastWords

HEARTBEAT_SECONDS = 20
"""How long a process may be silent before JAX takes it for lost and ends all others."""

VISIBLE_SECONDS = 60.0
"""For so long a network file system may not show what another machine has written."""

_USER_ERROR_STATUS = 2
_LOST_PROCESS_STATUS = 1
_INTERRUPTED_STATUS = 130
# What JAX's coordination service, gloo and NCCL say when a partner is gone.
_SIGNS_OF_LOSS = (
    *("UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED", "CANCELLED", "FAILED_PRECONDITION"),
    *("Gloo", "gloo", "NCCL", "coordination", "heartbeat", "onnection", "Socket"),
)
# Texts are exchanged in arrays of multiples of so many bytes, so that few programs are compiled.
_TEXT_BLOCK = 4096


class SharedError(UserError):
    """A user's mistake that every process of the run raises; only one of them prints it."""


class LostProcessError(UserError):
    """Error of another process that ended or cannot be reached. It is no mistake: the same command continues."""


def initialize_distributed(*, takes_preemption: bool = True) -> None:
    """Joins the other processes of the run, if there are any; must be called before JAX is used.

    Args:
      takes_preemption: whether JAX handles SIGTERM and tells all processes of it, as `train` needs: see `StopRequest`.
        False lets SIGTERM end the process.

    Raises:
      UserError: the environment names the others incompletely, or they cannot be reached.
    """
    if jax.distributed.is_initialized():
        return
    arguments = cluster_arguments(os.environ)
    if arguments is None:
        return
    jax.config.update("jax_enable_preemption_service", takes_preemption)
    advice = (
        "the processes of this run do not find each other. Check that all of them run, with the same address of "
        "process 0, that it can be reached from every machine, and that no other program uses its port; "
        "JAX_NUM_PROCESSES=1 trains in this process alone."
    )
    with LastWords() as words:
        words.change(f"motion-vit: {advice}")
        try:
            jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_SECONDS, **arguments)
        except (RuntimeError, ValueError) as error:
            if "must be called before" in str(error):
                raise UserError(
                    "this process has used JAX before it joined the others of its run. Call initialize_distributed() "
                    "first; JAX_NUM_PROCESSES=1 trains in this process alone."
                ) from error
            raise LostProcessError(f"{advice} ({str(error).splitlines()[0]})") from error


def is_primary() -> bool:
    """Tells if this process writes the logs: the only one, or number 0."""
    return jax.process_index() == 0


def shard() -> tuple[int, int]:
    """Returns the number of this process and the number of processes, which select its part of the data."""
    return jax.process_index(), jax.process_count()


def gather(value: Any) -> list[Any]:
    """Sends a value to all processes; every one must call it.

    Args:
      value: anything that fits JSON.

    Returns:
      The values of all processes, in the order of their numbers.
    """
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([text.size], np.int32)).reshape(-1)
    width = -(-int(sizes.max()) // _TEXT_BLOCK) * _TEXT_BLOCK
    padded = multihost_utils.process_allgather(np.pad(text, (0, width - text.size)))
    return [json.loads(row[:size].tobytes()) for row, size in zip(padded, sizes, strict=True)]


@contextlib.contextmanager
def errors_together() -> Iterator[None]:
    """Raises an error of one process in all processes; every process must enter and leave.

    The code inside must not wait for other processes.

    Raises:
      SharedError: a process has raised an error; the message says which.
    """
    message = ""
    try:
        yield
    except UserError as error:
        if jax.process_count() == 1:
            raise
        message = str(error)
    messages = gather(message)
    if not any(messages):
        return
    if len(set(messages)) == 1:
        raise SharedError(message)
    raise SharedError("\n".join(f"process {number}: {text}" for number, text in enumerate(messages) if text))


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Ends this process when the code inside fails and there are other processes.

    Python's normal exit would wait for the others, and they may be waiting for this process.
    """
    try:
        yield
    except SharedError as error:
        if is_primary():
            raise
        raise SystemExit(_USER_ERROR_STATUS) from error
    except BaseException as error:
        if jax.distributed.is_initialized() and jax.process_count() > 1:
            _print_error(error)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_status_of(error))
        if isinstance(error, LostProcessError):
            print(f"motion-vit: {error}", file=sys.stderr)
            raise SystemExit(_LOST_PROCESS_STATUS) from error
        raise


def is_process_lost(error: jax.errors.JaxRuntimeError) -> bool:
    """Tells if an error of JAX means that another process has ended.

    Args:
      error: raised by a computation.

    Returns:
      True if there are other processes and the error is one that collective operations raise when partners do not
      answer.
    """
    return jax.process_count() > 1 and any(sign in str(error) for sign in _SIGNS_OF_LOSS)


def _print_error(error: BaseException) -> None:
    number = jax.process_index()
    if isinstance(error, UserError):
        print(f"motion-vit: process {number}: {error}", file=sys.stderr)
    elif isinstance(error, KeyboardInterrupt):
        print(f"motion-vit: process {number}: stopped", file=sys.stderr)
    elif not isinstance(error, SystemExit):
        traceback.print_exception(error)


def _status_of(error: BaseException) -> int:
    if isinstance(error, LostProcessError):
        return _LOST_PROCESS_STATUS
    if isinstance(error, UserError):
        return _USER_ERROR_STATUS
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED_STATUS
    return error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
