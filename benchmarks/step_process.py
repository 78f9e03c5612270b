"""Runs a step of a long run in a process of its own, within limits of time.

    python benchmarks/step_process.py MODULE FUNCTION RECORD [--rehearsal]      # how `run_step` starts the process

The function takes `rehearsal` and yields the step's items: pairs of a name and a call that returns the result, ready
for JSON. An exception costs its item. A crash, or an item that takes too long, ends the process; another one is
started for the items after it. What earlier attempts have finished is not done again.
"""

import argparse
import dataclasses
import importlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from step_record import (
    FAILED,
    FINISHED,
    RUNNING,
    Record,
    begin_attempt,
    close_attempt,
    plain,
    read_record,
    record_file,
    write_record,
)

Items = Iterable[tuple[str, Callable[[], Any]]]

HERE = pathlib.Path(__file__).resolve().parent
_POLL_SECONDS = 0.1
_LONGEST_REASON = 300


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
      name: of its record and its log.
      module: holds the function.
      function: yields the items of the step, see the module's docstring.
      seconds: limit of an attempt.
      item_seconds: limit of an item.
      needs: keys of the requirements without which it is left out.
      environment: variables for its process.
    """

    name: str
    module: str
    function: str
    seconds: float
    item_seconds: float
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def with_patience(self, factor: float) -> "Step":
        """Returns the step with limits of another length."""
        return dataclasses.replace(self, seconds=factor * self.seconds, item_seconds=factor * self.item_seconds)


def run_step(step: Step, folder: pathlib.Path, *, rehearsal: bool, seconds: float) -> Record:
    """Runs the items of a step that are not finished yet.

    Args:
      step: of `accelerator_run.STEPS`, or another.
      folder: of the run; it exists.
      rehearsal: whether to use tiny shapes.
      seconds: limit, besides the step's own.

    Returns:
      The step's record, which is also written.
    """
    began = time.monotonic()
    limit = min(step.seconds, seconds)
    path = record_file(folder, step.name)
    record = read_record(path)
    spent_before = record["seconds"]
    begin_attempt(record, rehearsal=rehearsal)
    write_record(path, record)
    while True:
        reason = _run_process(step, folder, path, rehearsal=rehearsal, deadline=began + limit)
        record = read_record(path)
        running = [name for name, item in record["items"].items() if item["state"] == RUNNING]
        for name in running:
            record["items"][name] = {"state": FAILED, "reason": reason}
        # A process that fails outside of an item would fail again.
        if not reason or not running or time.monotonic() >= began + limit:
            break
        write_record(path, record)
    close_attempt(record, reason)
    record["seconds"] = spent_before + time.monotonic() - began
    write_record(path, record)
    return record


def _run_process(step: Step, folder: pathlib.Path, path: pathlib.Path, *, rehearsal: bool, deadline: float) -> str:
    """Runs a process of a step to its end; returns why it ended early, or ""."""
    command = [sys.executable, str(HERE / "step_process.py"), step.module, step.function, str(path)]
    search = [str(HERE.parent), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search), "PYTHONUNBUFFERED": "1"} | step.environment
    if "XLA_FLAGS" in step.environment and "XLA_FLAGS" in os.environ:
        environment["XLA_FLAGS"] = f"{os.environ['XLA_FLAGS']} {step.environment['XLA_FLAGS']}"
    log = folder / f"{step.name}.log"
    with log.open("ab") as output:
        # In a session of its own, so that whatever it starts ends with it.
        process = subprocess.Popen(
            [*command, *(["--rehearsal"] if rehearsal else [])],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            reason = _watch(process, path, step.item_seconds, deadline)
        finally:
            _kill(process)
    if reason or process.returncode == 0:
        return reason
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        hint = ", as Linux does when memory is short" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}; see {log.name}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return shortened(f"its process ended with status {process.returncode}: {lines[-1] if lines else 'no output'}")


def _watch(process: subprocess.Popen[bytes], path: pathlib.Path, item_seconds: float, deadline: float) -> str:
    """Waits for a process; returns which limit it overran, or "" if it ended by itself."""
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return "the time of the step, or of the run, was used up"
        running = [item for item in read_record(path)["items"].values() if item["state"] == RUNNING]
        if any(time.time() - item["began"] > item_seconds for item in running):
            return f"took longer than {item_seconds:.0f} s"
        time.sleep(_POLL_SECONDS)
    return ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and everything that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # all have ended
    finally:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def work(items: Items, path: pathlib.Path) -> None:
    """Does the items that a record does not have yet, and writes it before and after each.

    Args:
      items: of the step.
      path: the record.
    """
    for name, call in items:
        record = read_record(path)
        if name in record["items"]:
            continue
        record["items"][name] = {"state": RUNNING, "began": time.time()}
        write_record(path, record)
        began = time.monotonic()
        try:
            found = {"state": FINISHED, "result": plain(call())}
        except Exception as error:
            traceback.print_exc()
            found = {"state": FAILED, "reason": message(error)}
        record["items"][name] = found | {"seconds": time.monotonic() - began}
        write_record(path, record)


def message(error: BaseException) -> str:
    """Returns an exception's kind, and of its text the last line, where that is a traceback, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    from_elsewhere = any(line.startswith("Traceback") for line in lines)
    text = lines[-1 if from_elsewhere else 0] if lines else "no message"
    return shortened(f"{type(error).__name__}: {text}")


def shortened(text: str) -> str:
    """Returns a text that fits a table."""
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."


def _end_with_parent() -> None:
    """Ends this process and those that it started once the other end of its standard input is closed."""

    def wait() -> None:
        # Not of Python's own file, whose lock a thread that waits would keep from the interpreter at its end.
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Does the items of a step; the body of its process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module")
    parser.add_argument("function")
    parser.add_argument("record", type=pathlib.Path)
    parser.add_argument("--rehearsal", action="store_true")
    options = parser.parse_args()
    _end_with_parent()
    make_items: Callable[..., Items] = getattr(importlib.import_module(options.module), options.function)
    work(make_items(rehearsal=options.rehearsal), options.record)


if __name__ == "__main__":
    main()
