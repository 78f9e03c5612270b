"""Compiles the operators for absent devices, and compares what they access in memory with the least that they must.

    JAX_PLATFORMS=cpu python benchmarks/operator_traffic.py --topology h200:1 --operator cost-volume --forms all
    python benchmarks/operator_traffic.py --topology v5e:2x2 --operator global --shape "3136 tokens"

Needs the extra `gpu` and no GPU, or the extra `tpu` and no TPU; the extra `torch` for the definitions beside. The floor
is every input, output and gradient once, as in `benchmarks/operators.py`. Bytes are the compiler's own figures for its
program; calls of libraries and kernels count with their operands and results.
"""

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
from absent_device import compile_for
from operator_cases import OperatorCase, cases, chosen_forms, with_gradients

from motion_vit.training.ahead_of_time.topology import topology_devices


def operator_traffic(case: OperatorCase, form: str, dtype: str, topology: str) -> dict[str, dict[str, float] | str]:
    """Counts the bytes that a form of an operator accesses.

    Args:
      case: the operator and its shape.
      form: a key of `case.forms`.
      dtype: of all inputs.
      topology: see `topology_devices`.

    Returns:
      For "forward" and "f+b": `gigabytes`, `floor_gigabytes`, `to_floor`, `temporary_megabytes` and `compile_seconds`;
      or the reason why the form does not compile.
    """
    inputs = tuple(jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for shape in case.arrays.values())
    found: dict[str, dict[str, float] | str] = {}
    for name, function in {"forward": case.forms[form], "f+b": with_gradients(case.forms[form])}.items():
        floor = case.floor_bytes(jnp.dtype(dtype).itemsize, backward=name == "f+b")
        try:
            compiled = compile_for(topology, function, inputs)
        except (RuntimeError, ValueError) as error:  # such as a kernel for another platform
            found[name] = str(error).splitlines()[0]
            continue
        found[name] = {
            "gigabytes": compiled.costs.bytes_accessed / 1e9,
            "floor_gigabytes": floor / 1e9,
            "to_floor": compiled.costs.bytes_accessed / floor,
            "temporary_megabytes": compiled.temporary_bytes / 1e6,
            "compile_seconds": compiled.compile_seconds,
        }
    return found


def _cells(found: dict[str, float] | str) -> str:
    if isinstance(found, str):
        return f"does not compile: {found[:80]} | | |"
    return (
        f"{found['gigabytes']:.2f} | {found['floor_gigabytes']:.2f} | {found['to_floor']:.1f} | "
        f"{found['temporary_megabytes']:.0f}"
    )


def main() -> None:
    """Reads the command line, compiles, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topology", default="h200:1", help="GPUs or a TPU slice; one device is compiled for")
    parser.add_argument("--operator", default="cost-volume", help="only operators whose name begins so")
    parser.add_argument("--shape", default="", help="only shapes whose words contain this, such as '14 x 14'")
    parser.add_argument("--forms", default="default", help="names separated by commas, or all")
    parser.add_argument("--batch", type=int, default=8, help="clips")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all numbers")
    options = parser.parse_args()
    kind = topology_devices(options.topology)[0].device_kind
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    print(f"{kind}, one device, {options.batch} clips, {options.dtype}, jax {jax.__version__}\n")
    columns = "GB | floor | times | temporary MB"
    print(f"| operator | form | forward: {columns} | f+b: {columns} |\n|---|---|" + "---:|" * 8)
    report = []
    for case in cases(options.batch):
        if not case.name.replace(" ", "-").startswith(options.operator) or options.shape not in case.shape:
            continue
        for form in chosen_forms(case, options.forms):
            found = operator_traffic(case, form, options.dtype, options.topology)
            report.append({"operator": case.name, "shape": case.shape, "form": form, **found})
            cells = " | ".join(_cells(each) for each in found.values())
            print(f"| {case.name}, {case.shape} | {form} | {cells} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
