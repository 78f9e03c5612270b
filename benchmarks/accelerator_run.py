"""Measures the library on a machine with a GPU in ten minutes, and prints the tables of docs/performance.md.

    python benchmarks/accelerator_run.py --out gpu_run                    # the same command goes on where it ended
    python benchmarks/accelerator_run.py --out gpu_run --again training   # measures a step anew; or --again all
    python benchmarks/accelerator_run.py --out gpu_run --only-tables
    python benchmarks/accelerator_run.py --out rehearsal --rehearsal      # tiny shapes, without a GPU

Needs no network. The steps, in their order:

- environment: facts of the machine, and what it lacks for the others;
- correctness: every operator and a training step against higher precision on the processor;
- operators: at the shapes of UniFormer's stages, beside several forms in PyTorch;
- training: steps of UniFormer-S and -B beside PyTorch with automatic mixed precision, with and without `torch.compile`;
- profile: where a training step spends its time.

Each is a process of its own with a limit of time. It writes its findings to `STEP.json` in the folder after each part,
and its output to `STEP.log`. A hang, a crash or a lack of memory costs the part that met it, whose record holds the
reason. Finished parts are not repeated; failed ones are, by the same command. What JAX and PyTorch compile is kept in
the folder, too.

Ends with 0 if all was measured and agrees, 1 if numbers differ from their reference, 3 if something was not measured.
"""

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Sequence

from accelerator_tables import disagreements, tables
from step_process import Step, run_step
from step_record import FINISHED, LEFT_OUT, STOPPED, Record, read_record, record_file, results, write_record

MINUTES = 10.0
DIFFERENT, INCOMPLETE = 1, 3

_SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Without it, JAX takes three quarters of the memory, beside which PyTorch has to live."""

STEPS = (
    Step("environment", "accelerator_environment", "environment", 60, 45),
    Step("correctness", "numeric_agreement", "agreement", 120, 60, ("jax", "torch"), _SHARED_GPU),
    Step("operators", "accelerator_measurements", "operators", 150, 50, ("jax", "torch"), _SHARED_GPU),
    Step("training", "accelerator_measurements", "training", 270, 170, ("jax", "torch"), _SHARED_GPU),
    # Work that is recorded as a CUDA graph carries no names.
    Step(
        "profile",
        "accelerator_measurements",
        "profile",
        100,
        100,
        ("jax",),
        {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="},
    ),
)


def run(
    folder: pathlib.Path, steps: Sequence[Step], *, rehearsal: bool, seconds: float, again: Iterable[str] = ()
) -> dict[str, Record]:
    """Runs the steps that are not finished.

    Args:
      folder: of the records; made if it is missing.
      steps: in their order.
      rehearsal: whether to use tiny shapes.
      seconds: limit of all steps together.
      again: names of steps to begin anew.

    Returns:
      The records by name, of steps that were reached.
    """
    deadline = time.monotonic() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    for name in again:
        record_file(folder, name).unlink(missing_ok=True)
    # What was compiled in an attempt that ran out of time is there for the next.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder.resolve() / "compiled" / "jax"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder.resolve() / "compiled" / "torch"))
    records: dict[str, Record] = {}
    missing: dict[str, list[str]] = {}
    for step in steps:
        path = record_file(folder, step.name)
        record = read_record(path)
        left = deadline - time.monotonic()
        lacks = [sentence for need in step.needs for sentence in missing.get(need, ())]
        if record["state"] == FINISHED and record.get("rehearsal") == rehearsal:
            print(f"{step.name}: was measured before", flush=True)
        elif lacks:
            record.update(state=LEFT_OUT, reason=" ".join(lacks))
            write_record(path, record)
            print(f"{step.name}: left out: {record['reason']}", flush=True)
        elif left <= 0:
            record.update(state=STOPPED, reason="the time of the run was used up; the same command goes on")
            write_record(path, record)
            print(f"{step.name}: {record['reason']}", flush=True)
        else:
            print(f"{step.name}: at most {min(step.seconds, left):.0f} s ...", flush=True)
            record = run_step(step, folder, rehearsal=rehearsal, seconds=left)
            print(f"{step.name}: {record['state']} after {record['seconds']:.0f} s. {record['reason']}", flush=True)
        records[step.name] = record
        missing = missing or results(record).get("requirements", {})
    return records


def main() -> None:
    """Reads the command line, runs, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [step.name for step in STEPS]
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the records; the same one to go on")
    parser.add_argument("--again", nargs="+", default=[], choices=[*names, "all"], metavar="STEP", help="begin anew")
    parser.add_argument("--steps", nargs="+", default=names, choices=names, metavar="STEP", help="these alone")
    parser.add_argument("--patience", type=float, default=1.0, help="factor of the limits of steps, on slow machines")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="limit of all steps together")
    parser.add_argument("--rehearsal", action="store_true", help="tiny shapes, also without a GPU")
    parser.add_argument("--only-tables", action="store_true", help="print the tables of what is there")
    options = parser.parse_args()
    again = names if "all" in options.again else options.again
    if not options.only_tables:
        # Facts of the machine are those of this attempt: it may have got what it lacked.
        again = ["environment", *again] if "environment" in options.steps else again
        steps = [step.with_patience(options.patience) for step in STEPS if step.name in options.steps]
        run(options.out, steps, rehearsal=options.rehearsal, seconds=60 * options.minutes, again=again)
    records = {
        name: read_record(record_file(options.out, name)) for name in names if record_file(options.out, name).exists()
    }
    print(f"\n{tables(records)}")
    differ = disagreements(records)
    if differ:
        print(f"\nOther numbers than their reference: {'; '.join(differ)}", file=sys.stderr)
        sys.exit(DIFFERENT)
    if len(records) < len(names) or any(record["state"] != FINISHED for record in records.values()):
        sys.exit(INCOMPLETE)


if __name__ == "__main__":
    main()
