"""Runs of a comparison in separate processes, each with a share of the cores."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from types import FrameType

from motion_vit.comparison.comparison_run import LOG_FILE, ComparisonRun
from motion_vit.comparison.run_result import RunResult
from motion_vit.errors import UserError
from motion_vit.terminal import safe_output
from motion_vit.training.parallel.compilation_cache import enable_compilation_cache

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_BETWEEN_LOOKS = 0.2


class RunProcess:
    """A process that finishes a run; its output, warnings included, goes to the run's log.

    Args:
      run: to train and evaluate.
      share: number of its share of the cores, from 0.
      shares: number of shares that the cores are divided into.

    Attributes:
      run: to train and evaluate.
      share: number of its share of the cores.
      connection: readable as soon as the process has an outcome, or has died.
    """

    def __init__(self, run: ComparisonRun, share: int, shares: int) -> None:
        # Spawned, not forked: a fork of a process in which JAX already runs its threads may hang.
        context = multiprocessing.get_context("spawn")
        self.run, self.share = run, share
        self.connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_finish, args=(run, theirs, share, shares))
        # The process begins with the same mask: a Ctrl-C waits there until it is ready to take it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()

    def stop(self) -> None:
        """Asks for a checkpoint and an end; may be called twice, or after a Ctrl-C that reached the process."""
        self._process.terminate()

    def kill(self) -> None:
        """Kills the process; its last checkpoint remains."""
        self._process.kill()

    def outcome(self) -> RunResult | UserError | None:
        """Waits for the process to end.

        Returns:
          The return value of `ComparisonRun.finish`, or an error that says how the process died.
        """
        try:
            outcome: RunResult | UserError | None = self.connection.recv()
        except EOFError:
            self._process.join()
            outcome = UserError(f"{self.run}: {self._how_it_died()}")
        self._process.join()
        self.connection.close()
        return outcome

    def _how_it_died(self) -> str:
        status = self._process.exitcode or 0
        if status < 0:
            return (
                f"its process was ended by {signal.Signals(-status).name}, as the system does when memory runs out. "
                "Choose fewer --jobs or a smaller batch_size; the same command continues."
            )
        return f"its process ended with status {status}; {self.run.folder / LOG_FILE} says more."


def _finish(run: ComparisonRun, connection: Connection, share: int, shares: int) -> None:
    """Finishes the run; the entry point of the process."""
    _heed_signals()
    _confine(share, shares)
    enable_compilation_cache()
    outcome: RunResult | UserError | None
    try:
        with run.open_log() as log:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log.fileno(), stream.fileno())
    except UserError as error:
        outcome = UserError(f"{run}: {error}")
    else:
        with safe_output():
            outcome = run.finish()
    with contextlib.suppress(BrokenPipeError):  # the comparison has died; the run's folder has everything
        connection.send(outcome)


def _confine(share: int, shares: int) -> None:
    """Confines this process to its share of the cores, before JAX counts them."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(cores[share::shares]) or {cores[share % len(cores)]})


def _heed_signals() -> None:
    """Stops training after a signal, or when the parent has died; evaluations are finished.

    A signal may come before training listens, and several with the same meaning, from the terminal and from the parent,
    may come while training saves. All of them are noted here, and passed on once training listens.
    """
    wish = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        wish.set()

    for number in _STOP_SIGNALS:
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    comparison = multiprocessing.parent_process()

    def tell_training() -> None:
        while True:
            is_wished = wish.is_set() or not (comparison and comparison.is_alive())
            if is_wished and signal.getsignal(signal.SIGTERM) is not note:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    threading.Thread(target=tell_training, daemon=True).start()
