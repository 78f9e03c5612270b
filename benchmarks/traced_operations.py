"""How long each operation of a compiled program took, from a trace of JAX's profiler."""

import pathlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax


class _Event(NamedTuple):
    start: float
    duration: float
    operation: str


def trace(run: Callable[[], object], folder: pathlib.Path) -> pathlib.Path:
    """Runs something under the profiler.

    Args:
      run: what to run; it waits for the device before it returns.
      folder: a folder for the trace.

    Returns:
      The file with the events of this process and its devices.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # calls of Python would bury the operations
    with jax.profiler.trace(folder, profiler_options=options):
        run()
    return max(folder.glob("plugins/profile/*/*.xplane.pb"))


def self_seconds(trace_file: pathlib.Path, module: str, operations: Collection[str]) -> dict[str, float]:
    """The time of each operation without that of the operations inside it, such as the body of a loop.

    Operations that run at the same time, on several threads of a CPU or streams of a GPU, count each by themselves: the
    sum is then more than the time that passed.

    Args:
      trace_file: what `trace` returns.
      module: name of the program, the first word of its text after `HloModule`.
      operations: names of its instructions.

    Returns:
      Seconds by instruction, of those that the trace has.
    """
    planes = list(jax.profiler.ProfileData.from_file(str(trace_file)).planes)
    on_devices = [plane for plane in planes if plane.name.startswith("/device:")]
    # The host's plane has the operations of a CPU; of other devices it has the calls that launch them.
    found = _sum_lines(on_devices, module, operations)
    return dict(found or _sum_lines(planes, module, operations))


def _sum_lines(planes: Iterable[Any], module: str, operations: Collection[str]) -> Counter[str]:
    total: Counter[str] = Counter()
    for plane in planes:
        for line in plane.lines:
            for operation, nanoseconds in _without_nested(_events(line, module, operations)).items():
                total[operation] += nanoseconds / 1e9
    return total


def _events(line: Any, module: str, operations: Collection[str]) -> Iterator[_Event]:
    """The events of a thread, stream or core that are operations of the program."""
    for event in line.events:
        stats: Mapping[str, Any] = dict(event.stats)
        # CPU and GPU state the instruction; on a TPU the event is named by the instruction's text.
        operation = str(stats.get("hlo_op") or event.name.removeprefix("%").partition(" ")[0])
        if operation in operations and stats.get("hlo_module", module) == module:
            yield _Event(event.start_ns, event.duration_ns, operation)


def _without_nested(events: Iterable[_Event]) -> dict[str, float]:
    """Nanoseconds of each operation of a line, less those of the operations that begin and end within it."""
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
