"""Profiles a training step by stage, kind of layer, and pass, as a table and a picture.

    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python benchmarks/profile_step.py --model uniformer_emim_s --out step.png
    python benchmarks/profile_step.py --model uniformer_emim_b --batch 16 --dtype bfloat16 --out step.png    # on a GPU

Runs a few steps (forward, backward, AdamW) on random clips under JAX's profiler and reads the trace back. The time of
every operation of the compiled program, without operations inside it, is added to its place in the network, and to the
category of the operation. A fusion of
several operations counts where its last one belongs. Operations that run at the same time, on the threads of a CPU,
each count in full: "busy" is their sum, and may be up to as many times the step as there are cores. Operations shorter
than a microsecond are overstated, because tracing each takes time. On a GPU, work that was recorded as a CUDA graph
carries no names: run with `XLA_FLAGS=--xla_gpu_enable_command_buffer=`.
"""

import argparse
import json
import pathlib
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax_runner import initial_state, make_train_step
from model import ADAMW
from model_arguments import add_model_arguments
from operation_categories import OTHER_OPERATION, operation_categories
from operation_places import KINDS, Place, operation_names, place_finder, places_of, stage_names
from run_conditions import conditions, conditions_line
from traced_operations import self_seconds, trace

import motion_vit
from motion_vit.models.options import model_options
from motion_vit.training.ahead_of_time.compiled_program import parse_program

WARM_UP_STEPS = 2


def profile(model: Any, batch: int, steps: int) -> dict[str, Any]:
    """Traces training steps of a model.

    Args:
      model: a model of `motion_vit.create_model` whose stages are known.
      batch: clips.
      steps: steps to trace.

    Returns:
      `untraced_step_seconds`, of each step, as many as are then traced, and `step_seconds`, of each traced step.
      `stages`, their names in the order of the network. `seconds`, of a step by place: a list of `stage`, `kind`,
      `direction` and `seconds`. `operations`, the same by operation of the program, with its name and `category`.
    """
    optimizer = optax.adamw(**ADAMW)
    generator = np.random.default_rng(0)
    clips = jnp.asarray(generator.standard_normal((batch, *model.clip_shape), dtype=np.float32))
    labels = jnp.asarray(generator.integers(model.num_classes, size=batch, dtype=np.int32))
    state = initial_state(jax.jit(model.init)(jax.random.key(0), clips), optimizer)
    step = jax.jit(make_train_step(model, optimizer), donate_argnums=0).lower(state, clips, labels).compile()
    text = step.as_text()

    def run(repeats: int) -> list[float]:
        nonlocal state
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            state, _ = jax.block_until_ready(step(state, clips, labels))
            seconds.append(time.perf_counter() - start)
        return seconds

    run(WARM_UP_STEPS)
    untraced = run(steps)
    traced: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        trace_file = trace(lambda: traced.extend(run(steps)), pathlib.Path(folder))
        by_operation = _by_operation(text, trace_file)
    program = parse_program(text)
    names = operation_names(program)
    find = place_finder(model)
    total: Counter[Place] = Counter()
    for operation, seconds in by_operation.items():
        total[find(names.get(operation, ""))] += seconds
    categories = operation_categories(program)
    return {
        "untraced_step_seconds": untraced,
        "step_seconds": traced,
        "stages": stage_names(model),
        "seconds": [{**place._asdict(), "seconds": seconds / steps} for place, seconds in total.most_common()],
        "operations": [
            {
                "operation": operation,
                "category": categories.get(operation, OTHER_OPERATION),
                **find(names.get(operation, ""))._asdict(),
                "seconds": seconds / steps,
            }
            for operation, seconds in sorted(by_operation.items(), key=lambda each: -each[1])
        ],
    }


def _by_operation(text: str, trace_file: pathlib.Path) -> dict[str, float]:
    """Sums the seconds of a trace by operation of the program."""
    header = re.match(r"HloModule ([^\s,]+)", text)
    computations = parse_program(text).computations.values()
    operations = {name for computation in computations for name in computation.instructions}
    found = self_seconds(trace_file, header.group(1) if header else "", operations)
    if not found:
        raise RuntimeError("the trace has no operations of the training step; was another program profiling?")
    return found


def table(result: Mapping[str, Any]) -> str:
    """Formats the profile in Markdown: milliseconds by stage and pass, and kind."""
    cells: Counter[tuple[str, str, str]] = Counter()
    for entry in result["seconds"]:
        cells[entry["stage"], entry["direction"], entry["kind"]] += entry["seconds"]
    kinds = [kind for kind in KINDS if any(cell[2] == kind for cell in cells)]
    rows = places_of(result)
    busy = sum(cells.values())
    lines = [f"| stage | pass | {' | '.join(kinds)} | all | share |", "|---|---|" + "---:|" * (len(kinds) + 2)]
    for stage, direction in rows:
        milliseconds = [1e3 * cells[stage, direction, kind] for kind in kinds]
        share = sum(milliseconds) / 1e3 / busy
        texts = [f"{value:.1f}" if value else "" for value in (*milliseconds, sum(milliseconds))]
        lines.append(f"| {stage} | {direction} | {' | '.join(texts)} | {share:.1%} |")
    by_kind = [1e3 * sum(cells[stage, direction, kind] for stage, direction in rows) for kind in kinds]
    lines.append(f"| all | | {' | '.join(f'{value:.1f}' for value in (*by_kind, 1e3 * busy))} | |")
    shares = " | ".join(f"{value / 1e3 / busy:.1%}" for value in by_kind)
    lines.append(f"| share | | {shares} | | |")
    return "\n".join(lines)


def operations_table(result: Mapping[str, Any], longest: int) -> str:
    """Formats the profile in Markdown by category of operations, and the operations that take longest."""
    busy = sum(each["seconds"] for each in result["operations"])
    categories: Counter[str] = Counter()
    for each in result["operations"]:
        categories[each["category"]] += each["seconds"]
    lines = ["| operations | ms | share |", "|---|---:|---:|"]
    lines += [f"| {name} | {1e3 * each:.2f} | {each / busy:.1%} |" for name, each in categories.most_common()]
    lines += ["", "| operation | category | stage | layer | pass | ms | share |", "|---|---|---|---|---|---:|---:|"]
    for each in result["operations"][:longest]:
        place = f"{each['category']} | {each['stage']} | {each['kind']} | {each['direction']}"
        share = f"{1e3 * each['seconds']:.2f} | {each['seconds'] / busy:.1%}"
        lines.append(f"| {each['operation']} | {place} | {share} |")
    return "\n".join(lines)


def summary(result: Mapping[str, Any]) -> str:
    """Formats the step and the conditions in three lines."""
    untraced, traced = (1e3 * statistics.median(result[name]) for name in ("untraced_step_seconds", "step_seconds"))
    busy = 1e3 * sum(entry["seconds"] for entry in result["seconds"])
    shape = " x ".join(map(str, result["clips"]))
    return "\n".join(
        [
            f"{result['model']}, training step, clips {shape}, {result['dtype']}, on {result['device']}",
            conditions_line(result["conditions"]),
            f"step {untraced:.1f} ms, {traced:.1f} ms with the profiler, of it busy {busy:.1f} ms on all threads "
            f"({busy / traced:.2f} at a time); milliseconds of a step:",
        ]
    )


def main() -> None:
    """Reads the command line, runs, prints the table, writes the JSON and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--steps", type=int, default=3, help="steps to trace")
    parser.add_argument("--longest", type=int, default=15, help="operations to list")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all measurements")
    parser.add_argument("--out", type=pathlib.Path, help="where to draw the picture, a PNG file")
    options = parser.parse_args()
    under = conditions()
    names = ("frames", "image_size", "num_classes", "dtype")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    model = motion_vit.create_model(options.model, **given)
    result = {
        "model": options.model,
        "dtype": options.dtype,
        "clips": [options.batch, *model.clip_shape],
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "conditions": under,
        "options": model_options(model),
        **profile(model, options.batch, options.steps),
    }
    print(summary(result), table(result), operations_table(result, options.longest), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.out:
        # Imported where it is asked for: the table needs no Matplotlib.
        from profile_picture import draw_profile

        draw_profile(result, options.out)


if __name__ == "__main__":
    main()
