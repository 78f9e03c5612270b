"""Reads the time of each operation of a compiled program from a trace of JAX's profiler."""

import gzip
import json
import pathlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax


class _Event(NamedTuple):
    start: float
    duration: float
    operation: str


def trace(run: Callable[[], object], folder: pathlib.Path) -> pathlib.Path:
    """Runs a function under the profiler.

    Args:
      run: the function; it waits for the device before it returns.
      folder: a folder for the trace.

    Returns:
      The file with the events of this process and its devices.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # calls of Python would bury the operations
    with jax.profiler.trace(folder, profiler_options=options):
        run()
    return max(folder.glob("plugins/profile/*/*.trace.json.gz"))


def self_seconds(trace_file: pathlib.Path, module: str, operations: Collection[str]) -> dict[str, float]:
    """Measures the time of each operation, without operations inside it, such as the body of a loop.

    Operations that run at the same time, on several threads of a CPU or streams of a GPU, each count in full: the sum
    can exceed the elapsed time.

    Args:
      trace_file: from `trace`.
      module: name of the program, the first word of its text after `HloModule`.
      operations: names of its instructions.

    Returns:
      Seconds by instruction, for instructions in the trace.
    """
    # The binary form beside it has the same events, but jaxlib 0.12 warns when their details are read on Python 3.13.
    with gzip.open(trace_file) as file:
        events: Sequence[Mapping[str, Any]] = json.load(file)["traceEvents"]
    devices = {
        event["pid"]
        for event in events
        if event.get("name") == "process_name" and event["args"]["name"].startswith("/device:")
    }
    # The host's events are the operations of a CPU; of other devices they are the calls that launch them.
    on_devices = [event for event in events if event.get("pid") in devices]
    found = _sum_lines(on_devices, module, operations)
    return dict(found or _sum_lines(events, module, operations))


def _sum_lines(events: Iterable[Mapping[str, Any]], module: str, operations: Collection[str]) -> Counter[str]:
    """Sums seconds by operation over all lines: the threads of a host, the streams or cores of a device."""
    lines: defaultdict[tuple[int, int], list[_Event]] = defaultdict(list)
    for event in events:
        if event.get("ph") != "X":  # complete events have a duration; the others name processes and threads
            continue
        details = event.get("args", {})
        # CPU and GPU state the instruction; on a TPU the event is named by the instruction's text.
        operation = details.get("hlo_op") or event["name"].removeprefix("%").partition(" ")[0]
        if operation in operations and details.get("hlo_module", module) == module:
            lines[event["pid"], event["tid"]].append(_Event(event["ts"], event["dur"], operation))
    total: Counter[str] = Counter()
    for line in lines.values():
        for operation, microseconds in _without_nested(line).items():
            total[operation] += microseconds / 1e6
    return total


def _without_nested(events: Iterable[_Event]) -> dict[str, float]:
    """Returns microseconds of each operation of a line, less the operations that begin and end within it."""
    total: dict[str, float] = {}
    open_events: list[_Event] = []
    for event in sorted(events, key=lambda event: (event.start, -event.duration)):
        while open_events and open_events[-1].start + open_events[-1].duration <= event.start:
            open_events.pop()
        if open_events:
            total[open_events[-1].operation] -= event.duration
        total[event.operation] = total.get(event.operation, 0.0) + event.duration
        open_events.append(event)
    return total
