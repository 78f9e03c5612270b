"""Times a model against the same network in PyTorch, side by side in one run.

    python benchmarks/model.py --model uniformer_emim_s                              # one clip, float32
    python benchmarks/model.py --model uniformer_emim_s --frames 32 --stages --json s32.json
    python benchmarks/model.py --model timesformer_b --compile
    python benchmarks/model.py --model uniformer_emim_b --batch 16 --dtype bfloat16 --compile    # on a GPU

Each framework runs in its own process with its own memory. The processes take turns, so that other load on the machine
affects all alike, and only one computes at a time. All hold the same weights, and their logits and losses are compared
in the run. The forward pass is in evaluation mode; the training step is forward, backward and AdamW, without stochastic
depth. Each framework takes the GPU if it sees one. With bfloat16, JAX computes in it and PyTorch uses automatic mixed
precision. With `--compile`, one more process runs PyTorch under `torch.compile`.

Times are of whole calls that wait for the device, three in each turn. Not counted are one call that compiles, and three
more at the beginning of each turn: Linux needs as many to find huge pages again for a process that comes back, but
training is one process that stays. On a CPU, memory is the high-water mark of the process's resident memory during the
timed calls (`VmHWM` of Linux, reset before them). It includes weights, optimizer state and the framework itself, but
not compilation. On a GPU it is the peak of the framework's allocations there; JAX counts since its process began.

The share of the peak divides two rates. The first is the arithmetic that the network needs (linear layers, convolutions
and attention; the backward pass counts twice the forward pass) over the time. The second is the best that the same
framework reaches in one large matrix product of the same dtype in the same run.

With `--stages`, every stage is also timed as its own program, on inputs of the shape that it gets in the network:
forward, and forward with the gradients of its parameters and its input.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import sys
import tempfile
from typing import Any

import numpy as np
from framework_process import Answer, Framework
from model_arguments import add_model_arguments
from model_description import ModelDescription
from model_report import table
from run_conditions import conditions, use_huge_pages

ADAMW = {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.05}
COMPILED = "pytorch compiled"
TASKS = ("forward", "train_step")
SETTLING_CALLS = 3
CALLS_A_TURN = 3
PASSES = {"forward": 1, "train_step": 3, "forward_backward": 3}
"""How often the arithmetic of the forward pass each task has: backward there are two products for each."""
LARGEST_RELATIVE_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.1}
"""Outputs further apart than this, relative to the largest, mean that the two networks are not the same. Two float32
networks differ by 1e-6; of bfloat16 each number is off by up to 1/256, and the two frameworks round at other places."""


def measure(
    frameworks: list[Framework], task: str, *args: Any, repeats: int, memory: bool, together: bool = False
) -> dict[str, dict[str, Any]]:
    """Times a task in each framework, in turns.

    Args:
      frameworks: loaded ones to compare.
      task: method of the runners to time.
      *args: arguments of the method.
      repeats: turns of each framework.
      memory: whether to measure peak memory.
      together: whether the first calls, which compile, are at the same time.

    Returns:
      By framework, without those that had to be left out: `first_seconds` (with compilation), `seconds` of the timed
      calls, `median`, `min`, `values` (the return values, including that of the first call) and, on request,
      `peak_mb`.
    """
    results: dict[str, dict[str, Any]] = {}
    firsts = _first_calls(frameworks, task, *args, together=together)
    for framework, first in zip(frameworks, firsts, strict=True):
        if first is None:
            continue
        results[framework.name] = {"first_seconds": first.seconds, "seconds": [], "values": [first.value]}
        if memory:
            framework.call("reset_peak")
    frameworks = [framework for framework in frameworks if framework.name in results]
    for repeat in range(repeats):
        # Whoever goes second may find the processor warmer, so they take turns in that too.
        for framework in frameworks if repeat % 2 == 0 else reversed(frameworks):
            calls = [framework.call(task, *args) for _ in range(SETTLING_CALLS + CALLS_A_TURN)]
            results[framework.name]["seconds"] += [call.seconds for call in calls[SETTLING_CALLS:]]
            results[framework.name]["values"] += [call.value for call in calls]
    for framework in frameworks:
        result = results[framework.name]
        result["median"] = statistics.median(result["seconds"])
        result["min"] = min(result["seconds"])
        if memory:
            result["peak_mb"] = framework.call("peak_megabytes").value
    return results


def _first_calls(frameworks: list[Framework], task: str, *args: Any, together: bool) -> list[Answer | None]:
    """Calls a task in each framework, one after the other or in all at once."""

    def call(framework: Framework) -> Answer | None:
        return first_call(framework, task, *args)

    if not together:
        return [call(framework) for framework in frameworks]
    with concurrent.futures.ThreadPoolExecutor(len(frameworks)) as pool:
        return list(pool.map(call, frameworks))


def first_call(framework: Framework, task: str, *args: Any) -> Answer | None:
    """Calls a task, unless the framework had to be left out; leaves it out if it may be, and cannot do the task.

    `torch.compile` needs a compiler besides PyTorch: where there is none, the others are worth timing all the same.
    """
    if framework.left_out:
        return None
    try:
        return framework.call(task, *args)
    except RuntimeError as error:
        if framework.name != COMPILED:
            raise
        framework.left_out = str(error).strip().splitlines()[-1]
        return None


def start_frameworks(options: argparse.Namespace) -> tuple[list[Framework], ModelDescription]:
    """Starts the processes: JAX, PyTorch, and on request compiled PyTorch."""
    if options.huge_pages:
        use_huge_pages()
    # Where there is a GPU, the processes share its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    names = ("model", "batch", "frames", "image_size", "num_classes", "dtype")
    jax = Framework("jax", "jax", **{name: getattr(options, name) for name in names}, **dict(options.option))
    description: ModelDescription = jax.call("describe").value
    twin = {"options": description.twin, "dtype": options.dtype}
    frameworks = [jax, Framework("pytorch", "pytorch", **twin)]
    if options.compile:
        frameworks.append(Framework(COMPILED, "pytorch", **twin, compiled=True))
    return frameworks, description


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark and returns all results, ready for JSON."""
    frameworks, description = start_frameworks(options)
    under = conditions()
    generator = np.random.default_rng(0)
    clips = generator.standard_normal((options.batch, *description.clip_shape), dtype=np.float32)
    labels = generator.integers(options.num_classes, size=options.batch, dtype=np.int32)
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.npz"
        frameworks[1].call("save", weights)

        def load() -> None:
            for framework in frameworks:
                framework.call("load", weights, clips, labels, ADAMW)

        load()
        how = {"repeats": options.repeats, "memory": True, "together": options.compile_together}
        tasks = {task: measure(frameworks, task, **how) for task in TASKS}
        left_out = {framework.name: framework.left_out for framework in frameworks if framework.left_out}
        frameworks = [framework for framework in frameworks if not framework.left_out]
        stages = {}
        if options.stages:
            load()  # training has moved the weights
            stages = measure_stages(frameworks, description, options.repeats)
    rates = {framework.name: framework.call("matmul_rate").value for framework in frameworks}
    settings = {framework.name: framework.call("settings").value for framework in frameworks}
    for framework in frameworks:
        framework.close()

    for task, results in tasks.items():
        add_rates(results, PASSES[task] * 2 * options.batch * description.multiply_adds, rates)
    for stage, passes in stages.items():
        for task in ("forward", "forward_backward"):
            add_rates(passes[task], PASSES[task] * 2 * options.batch * description.stages[stage].multiply_adds, rates)
    logits, losses = (
        {name: np.asarray(result.pop("values")) for name, result in tasks[task].items()} for task in TASKS
    )
    return {
        "model": options.model,
        "dtype": options.dtype,
        "clips": list(clips.shape),
        "conditions": under | {"load_at_end": os.getloadavg()[0]},
        "frameworks": settings,
        "left_out": left_out,
        "matmul_flops_per_second": rates,
        "tasks": tasks,
        "stages": stages,
        "largest_logit": float(np.abs(logits["pytorch"][0]).max()),
        "largest_logit_difference": max(largest_difference({name: each[0] for name, each in logits.items()})),
        "losses": {name: values.tolist() for name, values in losses.items()},
    }


def measure_stages(frameworks: list[Framework], description: ModelDescription, repeats: int) -> dict[str, Any]:
    """Times every stage on its own.

    Args:
      frameworks: those to compare, with the same weights.
      description: names and shapes of the stages.
      repeats: turns of each framework.

    Returns:
      By stage: `forward` and `forward_backward`, each as of `measure`, and `largest_relative_difference` of the
      outputs.
    """
    generator = np.random.default_rng(1)
    arrays = {
        name: tuple(generator.standard_normal(shape, dtype=np.float32) for shape in (stage.input, stage.output))
        for name, stage in description.stages.items()
    }
    for framework in frameworks:
        framework.call("load_stages", arrays)
    found: dict[str, Any] = {}
    for name in description.stages:
        outputs = {framework.name: framework.call("stage_output", name).value for framework in frameworks}
        difference = max(largest_difference(outputs)) / float(np.abs(outputs["pytorch"]).max())
        found[name] = {"largest_relative_difference": difference}
        for task in ("forward", "forward_backward"):
            # The process holds the whole model and all stages: its memory is not that of one.
            results = measure(frameworks, f"stage_{task}", name, repeats=repeats, memory=False)
            for result in results.values():
                del result["values"]
            found[name][task] = results
    return found


def largest_difference(arrays: dict[str, np.ndarray]) -> list[float]:
    """Returns the largest difference of each framework's numbers from PyTorch's."""
    expected = arrays["pytorch"]
    return [float(np.abs(array - expected).max()) for name, array in arrays.items() if name != "pytorch"]


def add_rates(results: dict[str, dict[str, Any]], flops: int, rates: dict[str, float]) -> None:
    """Adds `flops`, `flops_per_second` and `share_of_peak`, by the medians, to the results of `measure`."""
    for name, result in results.items():
        result["flops"] = flops
        result["flops_per_second"] = flops / result["median"]
        result["share_of_peak"] = result["flops_per_second"] / rates[name]


def same_network(result: dict[str, Any]) -> bool:
    """Tells if logits, and the outputs of stages, agree."""
    limit = LARGEST_RELATIVE_DIFFERENCE[result["dtype"]]
    differences = [stage["largest_relative_difference"] for stage in result["stages"].values()]
    return max([*differences, result["largest_logit_difference"] / result["largest_logit"]]) <= limit


def _option(text: str) -> tuple[str, Any]:
    """Parses NAME=VALUE as a pair; a value that is not JSON is a string."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    """Reads the command line, runs, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument(
        "--option",
        type=_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help='an option of the model, the value as JSON, such as remat="matmuls" or depths=[1,1,2,2]',
    )
    parser.add_argument("--compile", action="store_true", help="time PyTorch with `torch.compile` too")
    parser.add_argument(
        "--compile-together", action="store_true", help="compile in all processes at once; first calls then tell little"
    )
    parser.add_argument("--stages", action="store_true", help="time every stage by itself too")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each framework, of three timed calls")
    parser.add_argument(
        "--no-huge-pages", action="store_false", dest="huge_pages", help="leave the allocator's settings as they are"
    )
    parser.add_argument("--json", type=pathlib.Path, help="where to write all measurements")
    options = parser.parse_args()
    result = run(options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if not same_network(result):
        sys.exit("the outputs of the networks differ: these timings compare different computations")


if __name__ == "__main__":
    main()
