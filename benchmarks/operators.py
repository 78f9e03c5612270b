"""Times every implementation of every operator beside PyTorch, in one process.

    python benchmarks/operators.py                                   # what the library chooses, at all shapes
    python benchmarks/operators.py --operator cost-volume --forms all --json cost_volume.json
    python benchmarks/operators.py --dtype bfloat16 --batch 40       # on a GPU, with a PyTorch that sees it

The frameworks take turns. `forward` is the function alone, `f+b` the function and its gradients to all inputs; on a
GPU, results stay there. Times are of whole calls after one warm-up, as many as asked for or as fit into `--seconds`.
`floor` is the definition's minimum: reading and writing every input, output and gradient once, and its multiply-adds;
`GFLOP/s` and `GB/s` are the floor over the time of a form. `temporary` is the memory of XLA's compiled program besides
inputs and outputs. `peak` is the rise of the process's resident memory during a call (Linux), results included; on a
GPU it is PyTorch's tensor memory alone. Outputs are compared in the run. A form that needs more temporary memory than
`--memory-limit` is compiled but not run, and the table says so. With `--forms all`, PyTorch has its slower forms, too:
windows of keys copied out (`unfold`), and attention with all its weights in memory (`dense`).

With `--clock processor`, the time that the process's threads compute counts instead of the time that passes. On one
core (`taskset -c 0` before the command) that compares the work of both frameworks while the machine does other things.

Both frameworks share a process, and with it the allocator. `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` before the command
makes glibc's use huge pages, as `benchmarks/model.py` does by itself.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from operator_cases import OperatorCase, cases, chosen_forms, chosen_pytorch, random_inputs, with_gradients
from resident_memory import reset_resident_peak, resident_peak_megabytes
from run_conditions import conditions, conditions_line, usable_cores

PASSES = ("forward", "f+b")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclasses.dataclass
class Row:
    """Measurements of one form in one pass.

    Attributes:
      seconds: of each timed call.
      compile_seconds: of XLA; None for PyTorch.
      temporary_mb: of XLA's program; None for PyTorch.
      peak_mb: largest addition of a call to the memory in use; None if unknown.
      difference: largest difference of the output to PyTorch's, relative to the largest number there.
      note: reason why it was not timed.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    compile_seconds: float | None = None
    temporary_mb: float | None = None
    peak_mb: float | None = None
    difference: float | None = None
    note: str = ""


def run_case(case: OperatorCase, options: argparse.Namespace) -> dict[str, dict[str, Row]]:
    """Times the chosen forms of a case and PyTorch's.

    Args:
      case: the operator and its shape.
      options: the command line.

    Returns:
      Pass -> form -> measurements; the fastest form of PyTorch is "pytorch", and others begin so.
    """
    inputs = random_inputs(case)
    found: dict[str, dict[str, Row]] = {}
    compiled = _compile_all(case, inputs, options)
    for name in PASSES:
        backward = name == "f+b"
        calls: dict[str, Callable[[], Any]] = {}
        rows: dict[str, Row] = {}
        for form in chosen_pytorch(case, options.forms):
            rows[form], calls[form] = Row(), _torch_call(case.pytorch[form], inputs, options.dtype, backward=backward)
        for form, (row, call) in compiled[name].items():
            rows[form] = row
            if call is not None:
                calls[form] = call
        expected = np.asarray(calls["pytorch"]().float().cpu())
        for form, call in list(calls.items()):
            try:
                output = call()
            except RuntimeError as error:  # such as one that needs more memory than there is
                rows[form].note = f"fails: {_first_line(error)}"
                del calls[form]
                continue
            if form != "pytorch":
                array = np.asarray(output.float().cpu() if isinstance(output, torch.Tensor) else output, np.float32)
                rows[form].difference = float(np.abs(array - expected).max() / np.abs(expected).max())
            del output
            rows[form].peak_mb = _peak_megabytes(call, form)
        _take_turns(calls, rows, options)
        found[name] = rows
    return found


def _compile_all(
    case: OperatorCase, inputs: Sequence[np.ndarray], options: argparse.Namespace
) -> dict[str, dict[str, tuple[Row, Callable[[], Any] | None]]]:
    """Compiles the chosen forms in both passes: pass -> form -> what `_compiled` returns."""
    with concurrent.futures.ThreadPoolExecutor(options.compile_threads) as pool:
        jobs = {
            name: {
                form: pool.submit(_compiled, case, form, inputs, options, backward=name == "f+b")
                for form in chosen_forms(case, options.forms)
            }
            for name in PASSES
        }
        return {name: {form: job.result() for form, job in forms.items()} for name, forms in jobs.items()}


def _compiled(
    case: OperatorCase, form: str, inputs: Sequence[np.ndarray], options: argparse.Namespace, *, backward: bool
) -> tuple[Row, Callable[[], Any] | None]:
    """Compiles a form, and makes the call to time, unless it cannot run here."""
    function = case.forms[form]
    arrays = [jnp.asarray(x, options.dtype) for x in inputs]

    start = time.perf_counter()
    try:
        program = jax.jit(with_gradients(function) if backward else function).lower(*arrays).compile()
    except (RuntimeError, ValueError) as error:  # such as cuDNN's form where there is none
        return Row(note=f"not here: {_first_line(error)}"), None
    row = Row(compile_seconds=time.perf_counter() - start)
    row.temporary_mb = program.memory_analysis().temp_size_in_bytes / 1e6
    if row.temporary_mb > options.memory_limit * 1e3:
        row.note = f"needs {row.temporary_mb / 1e3:.1f} GB"
        return row, None

    def call() -> jax.Array:
        result = jax.block_until_ready(program(*arrays))
        return result[0] if backward else result

    return row, call


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]


def _torch_call(
    function: Callable[..., torch.Tensor], inputs: Sequence[np.ndarray], dtype: str, *, backward: bool
) -> Callable[[], torch.Tensor]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = [torch.from_numpy(x).to(device, getattr(torch, dtype)).requires_grad_(backward) for x in inputs]

    def call() -> torch.Tensor:
        with torch.set_grad_enabled(backward):
            output = function(*tensors)
            if backward:
                torch.autograd.grad(output, tensors, torch.ones_like(output))
        if device == "cuda":
            torch.cuda.synchronize()
        return output.detach()

    return call


def _peak_megabytes(call: Callable[[], Any], form: str) -> float | None:
    """Measures the largest addition of a call to the memory in use."""
    if torch.cuda.is_available():
        if not form.startswith("pytorch"):
            return None  # of a device, JAX only keeps the peak since the process began
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    reset_resident_peak()
    before = resident_peak_megabytes()
    call()
    after = resident_peak_megabytes()
    if before is None or after is None:
        return None
    # Linux counts a process's pages on every processor and sums them up roughly, so the mark may seem to fall.
    return max(after - before, 0.0) * 2**20 / 1e6


def _take_turns(calls: Mapping[str, Callable[[], Any]], rows: Mapping[str, Row], options: argparse.Namespace) -> None:
    """Times the calls in turns; slow ones stop when their time is used up."""
    clock = CLOCKS[options.clock]
    for repeat in range(options.repeats):
        # Whoever goes second may find the processor warmer, so they take turns in that too.
        for form, call in calls.items() if repeat % 2 == 0 else reversed(calls.items()):
            if sum(rows[form].seconds) < options.seconds:
                start = clock()
                call()
                rows[form].seconds.append(clock() - start)


def table(case: OperatorCase, found: Mapping[str, Mapping[str, Row]], dtype: str) -> str:
    """Formats the measurements of a case as a Markdown table, with its floors above."""
    floors = _floors(case, dtype)
    floor = ", ".join(
        f"{name} {each['bytes'] / 1e6:.1f} MB and {each['flops'] / 1e9:.2f} GFLOP" for name, each in floors.items()
    )
    differences = [row.difference for rows in found.values() for row in rows.values() if row.difference is not None]
    lines = [
        f"{case.name}, {case.shape}; floor: {floor}; outputs differ by {max(differences, default=0):.0e} at most",
        "",
        "| form | " + " | ".join(f"{name} ms (min) | {_COLUMNS}" for name in PASSES) + " |",
        "|---|" + "---:|" * 14,
    ]
    for form in found["forward"]:
        cells = [
            cell
            for name, each in floors.items()
            for cell in _cells(found[name][form], found[name]["pytorch"], each["bytes"], each["flops"])
        ]
        lines.append(f"| {form} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _floors(case: OperatorCase, dtype: str) -> dict[str, dict[str, int]]:
    """Bytes and floating point operations that the definition needs, by pass."""
    size = jnp.dtype(dtype).itemsize
    backward = {name: name == "f+b" for name in PASSES}
    return {
        name: {"bytes": case.floor_bytes(size, backward=each), "flops": case.flops(backward=each)}
        for name, each in backward.items()
    }


_COLUMNS = "to PyTorch | GFLOP/s | GB/s | temporary MB | peak MB | compile s"


def _cells(row: Row, pytorch: Row, floor_bytes: int, flops: int) -> tuple[str, ...]:
    """Formats the table's cells for one form in one pass."""
    compiled = "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}"
    temporary = "" if row.temporary_mb is None else f"{row.temporary_mb:.0f}"
    peak = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
    if not row.seconds:
        return row.note, "", "", "", temporary, peak, compiled
    median = statistics.median(row.seconds)
    ratio = "" if row is pytorch or not pytorch.seconds else f"{median / statistics.median(pytorch.seconds):.2f}"
    rates = (f"{flops / median / 1e9:.3g}", f"{floor_bytes / median / 1e9:.3g}")
    return f"{median * 1e3:.1f} ({min(row.seconds) * 1e3:.1f})", ratio, *rates, temporary, peak, compiled


def main() -> None:
    """Reads the command line, runs, prints the tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operator", default="", help="only operators whose name begins so, such as cost-volume")
    parser.add_argument("--shape", default="", help="only shapes whose words contain this, such as '14 x 14'")
    parser.add_argument("--forms", default="default", help="names separated by commas, or all")
    parser.add_argument("--batch", type=int, default=1, help="clips")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what the times are of")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each form")
    parser.add_argument("--seconds", type=float, default=20.0, help="a form is not called again after so long")
    parser.add_argument("--memory-limit", type=float, default=8.0, help="GB of temporary memory that a form may take")
    parser.add_argument(
        "--compile-threads", type=int, default=1, help="programs to compile at a time; compile times are then longer"
    )
    parser.add_argument("--json", type=pathlib.Path, help="where to write all measurements")
    options = parser.parse_args()
    # PyTorch's own choice is half the cores where it takes them for hyperthreads; XLA uses all.
    torch.set_num_threads(usable_cores())
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    under = conditions()
    versions = f"jax {jax.__version__} on {jax.devices()[0].device_kind}, torch {torch.__version__}"
    print(f"{options.dtype}, batches of {options.batch}, {options.clock} time, {versions}\n{conditions_line(under)}\n")
    report: list[dict[str, Any]] = []
    for case in cases(options.batch):
        if not case.name.replace(" ", "-").startswith(options.operator) or options.shape not in case.shape:
            continue
        found = run_case(case, options)
        print(table(case, found, options.dtype), end="\n\n", flush=True)
        rows = {name: {form: dataclasses.asdict(row) for form, row in forms.items()} for name, forms in found.items()}
        report.append(
            {"operator": case.name, "shape": case.shape, "floors": _floors(case, options.dtype), "passes": rows}
        )
    if not report:
        raise SystemExit(f"no operator begins with {options.operator!r} and has a shape with {options.shape!r}")
    if options.json:
        result = {
            "conditions": under,
            "versions": versions,
            "dtype": options.dtype,
            "clock": options.clock,
            "cases": report,
        }
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
