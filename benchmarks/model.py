"""Times a model against the same network in PyTorch, side by side in one run.

    python benchmarks/model.py --model uniformer_emim_s --frames 16 --size 224 --batch 1 --repeats 5

Each framework lives in its own process, so that its memory is its own. The two take turns, so that whatever else the
machine does meets both alike, and only one computes at a time. Both hold the same weights, and their logits and losses
are compared in the run. Everything is float32: the forward pass in evaluation mode; the training step is forward,
backward and AdamW, without stochastic depth. Times are of whole calls, after one call that compiles and warms up.
Memory is the high-water mark of the process's resident memory during the timed calls (`VmHWM` of Linux, reset before
them): weights, optimizer state and the framework itself are in it, compilation is not.
"""

import argparse
import ctypes
import dataclasses
import gc
import importlib
import json
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

ADAMW = {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.05}
RUNNERS = {"jax": ("jax_runner", "JaxRunner"), "pytorch": ("torch_runner", "TorchRunner")}
TASKS = ("forward", "train_step")
LARGEST_RELATIVE_DIFFERENCE = 1e-3
"""Logits further apart than this, relative to the largest, mean that the two networks are not the same."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a call in a framework's process gave.

    Attributes:
      value: what it returned.
      seconds: how long it took there.
      error: the traceback, if it failed.
    """

    value: Any
    seconds: float
    error: str | None = None


class Framework:
    """A framework in a process of its own, which makes a runner and then calls its methods when told to.

    Args:
      name: a key of `RUNNERS`.
      **options: arguments of the runner.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *RUNNERS[name], options), daemon=True)
        self._process.start()
        self.version: str = self._receive().value

    def call(self, method: str, *args: Any) -> Answer:
        """Calls a method of the runner, `reset_peak` or `peak_megabytes`, and waits for the answer."""
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
    """Body of a framework's process."""
    try:
        runner = getattr(importlib.import_module(module), runner_class)(**options)
        connection.send(Answer(runner.version, 0.0))
        methods = {"reset_peak": _reset_peak, "peak_megabytes": _peak_megabytes}
        while True:
            name, args = connection.recv()
            method = methods.get(name) or getattr(runner, name)
            start = time.perf_counter()
            value = method(*args)
            connection.send(Answer(value, time.perf_counter() - start))
    except EOFError:
        return
    except Exception:
        connection.send(Answer(None, 0.0, traceback.format_exc()))


def _reset_peak() -> None:
    """Starts a new measurement of peak memory: Linux's way of setting VmHWM back to the present use."""
    if sys.platform == "linux":
        # What a compiler freed is often still held by the allocator, and would count as the model's.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def _peak_megabytes() -> float | None:
    """Peak resident memory of this process since the last reset; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def measure(frameworks: list[Framework], task: str, repeats: int) -> dict[str, dict[str, Any]]:
    """Times a task in every framework in turn.

    Args:
      frameworks: those to compare, loaded.
      task: the method of the runners to time.
      repeats: timed calls of each.

    Returns:
      By framework: `first_seconds` (with compilation), `seconds` of the timed calls, `median`, `min`, `peak_mb`,
      and `values`, what the calls returned, the first one included.
    """
    results: dict[str, dict[str, Any]] = {}
    for framework in frameworks:
        first = framework.call(task)
        results[framework.name] = {"first_seconds": first.seconds, "seconds": [], "values": [first.value]}
        framework.call("reset_peak")
    for repeat in range(repeats):
        # Whoever goes second may find the processor warmer, so they take turns in that too.
        for framework in frameworks if repeat % 2 == 0 else reversed(frameworks):
            answer = framework.call(task)
            results[framework.name]["seconds"].append(answer.seconds)
            results[framework.name]["values"].append(answer.value)
    for framework in frameworks:
        result = results[framework.name]
        result["median"] = statistics.median(result["seconds"])
        result["min"] = min(result["seconds"])
        result["peak_mb"] = framework.call("peak_megabytes").value
    return results


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark and returns all it found, ready for JSON."""
    shape = (options.batch, options.frames, options.size, options.size, 3)
    generator = np.random.default_rng(0)
    clips = generator.standard_normal(shape, dtype=np.float32)
    labels = generator.integers(options.num_classes, size=options.batch, dtype=np.int32)
    jax = Framework(
        "jax", model=options.model, frames=options.frames, size=options.size, num_classes=options.num_classes
    )
    pytorch = Framework("pytorch", options=jax.call("describe").value)
    frameworks = [jax, pytorch]
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.npz"
        pytorch.call("save", weights)
        for framework in frameworks:
            framework.call("load", weights, clips, labels, ADAMW)
    tasks = {task: measure(frameworks, task, options.repeats) for task in TASKS}
    for framework in frameworks:
        framework.close()

    logits, losses = (
        {name: np.asarray(result.pop("values")) for name, result in tasks[task].items()} for task in TASKS
    )
    difference = float(np.abs(logits["jax"][0] - logits["pytorch"][0]).max())
    return {
        "model": options.model,
        "clips": list(shape),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": [framework.version for framework in frameworks],
        "tasks": tasks,
        "largest_logit": float(np.abs(logits["pytorch"][0]).max()),
        "largest_logit_difference": difference,
        "losses": {name: values.tolist() for name, values in losses.items()},
    }


def table(result: Mapping[str, Any]) -> str:
    """The findings as text."""
    shape = " x ".join(map(str, result["clips"]))
    lines = [
        f"{result['model']}, clips {shape}, float32, {' against '.join(result['versions'])}, "
        f"{result['cores']} cores, load {result['load']:.1f}",
        f"{'':14}{'JAX median (min)':>20}{'PyTorch median (min)':>23}{'ratio':>7}{'JAX peak':>11}{'PyTorch peak':>14}",
    ]
    for task, timings in result["tasks"].items():
        jax, pytorch = timings["jax"], timings["pytorch"]
        seconds = [f"{timing['median']:.3f} s ({timing['min']:.3f})" for timing in (jax, pytorch)]
        peaks = ["unknown" if timing["peak_mb"] is None else f"{timing['peak_mb']:.0f} MB" for timing in (jax, pytorch)]
        ratio = jax["median"] / pytorch["median"]
        name = task.replace("train_step", "training step")
        lines.append(f"{name:14}{seconds[0]:>20}{seconds[1]:>23}{ratio:>7.2f}{peaks[0]:>11}{peaks[1]:>14}")
    firsts = ", ".join(f"{task} {timing['jax']['first_seconds']:.1f} s" for task, timing in result["tasks"].items())
    losses = ", ".join(f"{name} {values[0]:.6f} to {values[-1]:.6f}" for name, values in result["losses"].items())
    lines += [
        f"first call of JAX, with compilation: {firsts}",
        f"logits differ by at most {result['largest_logit_difference']:.1e}, the largest is "
        f"{result['largest_logit']:.2f}; losses over the steps: {losses}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, runs, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="uniformer_emim_s", help="a name of motion_vit.list_models()")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--batch", type=int, default=1, help="clips")
    parser.add_argument("--num-classes", type=int, default=174)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each framework")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all measurements")
    options = parser.parse_args()
    result = run(options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if result["largest_logit_difference"] > LARGEST_RELATIVE_DIFFERENCE * result["largest_logit"]:
        sys.exit("the logits of the two networks differ: these timings compare different computations")


if __name__ == "__main__":
    main()
