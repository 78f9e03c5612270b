"""Times `motion-vit train` from the command to the end of the first step, with cold and warm compilation cache.

    python benchmarks/startup.py                                              # the demo's recipe
    python benchmarks/startup.py --config configs/comparison.py:emim --repeats 5 --config.batch_size=8

Renders a few videos of the embedded dataset, and starts training on them repeatedly, each time in a new workdir. The
first start has an empty compilation cache ("cold"), the others that of the first ("warm"), with the traced step. With
`--cache` of an earlier call, the first start finds the compiled step there, but traces it ("traced"): the recipe names
other data. A start is timed from the launch of the process to the line that reports the first step; then training is
told to stop. The table has the phases that this line tells; the last is of the compiler, which runs beside them. What
is before the first is Python and its imports. Processor seconds (Linux) are those of all threads of the process until
the line: on a machine with other work they vary less.
"""

import argparse
import json
import math
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

COMMAND = [sys.executable, "-c", "import sys; from motion_vit.cli import main; sys.exit(main())"]
STOPPED = 75
"""Exit status of a training that was told to stop and saved."""


def start(
    config: str, data: pathlib.Path, workdir: pathlib.Path, cache: pathlib.Path, overrides: Sequence[str] = ()
) -> dict[str, float]:
    """Starts a training and stops it after its first step.

    Args:
      config: recipe to train.
      data: a rendered dataset.
      workdir: new folder of the run.
      cache: folder of compiled programs.
      overrides: more arguments of the form `--config.key=value`.

    Returns:
      Seconds of each phase from the launch of the process to the end of the first step, of "all" of them, and of
      "processor" time.

    Raises:
      RuntimeError: the process ended before; the message is its output.
    """
    lists = {"train": data / "train.csv", "validation": data / "validation.csv"}
    arguments = ["--config", config, "--workdir", str(workdir)]
    arguments += [f"--config.data.{name}={path}" for name, path in lists.items()] + [*overrides]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, "train", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    with process:
        for line in process.stdout or ():
            lines.append(line)
            if found := re.search(r"first step done after ([\d.]+) s: (.*)", line):
                seconds, processor = time.perf_counter() - began, processor_seconds(process.pid)
                process.send_signal(signal.SIGTERM)
                lines += process.stdout or ()
                break
        else:
            raise RuntimeError(f"training ended before its first step:\n{''.join(lines)}")
    if process.returncode != STOPPED:
        raise RuntimeError(f"training did not stop as it was told:\n{''.join(lines)}")
    phases = {name: float(told) for name, told in re.findall(r"([a-z ]+):? ([\d.]+)", found.group(2))}
    imports = seconds - float(found.group(1))
    return {"all": seconds, "processor": processor, "imports": imports, **phases}


def processor_seconds(process: int) -> float:
    """Reads the processor time that a process has used; NaN where the system has no `/proc`.

    Args:
      process: its number.
    """
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return math.nan
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def run(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Times one cold start and several warm ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data, cache = folder / "data", options.cache or folder / "cache"
        render = ["render", "--out", str(data), "--train", str(options.videos), "--validation", "20"]
        subprocess.run([*COMMAND, *render], check=True, capture_output=True)
        first = "traced" if cache.is_dir() and any(cache.iterdir()) else "cold"
        starts = [
            start(options.config, data, folder / f"run{i}", cache, options.overrides)
            for i in range(1 + options.repeats)
        ]
    return {first: starts[:1], "warm": starts[1:]}


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Formats the seconds as a Markdown table: medians, with the least and the most of several starts."""
    columns = [f"{name}, {len(starts)} start{'s'[: len(starts) > 1]}" for name, starts in found.items()]
    lines = [f"| s | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for phase in next(iter(found.values()))[0]:
        cells = (_median_and_range([start[phase] for start in starts]) for starts in found.values())
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _median_and_range(seconds: Sequence[float]) -> str:
    median = f"{statistics.median(seconds):.1f}"
    return median if len(seconds) == 1 else f"{median} ({min(seconds):.1f} to {max(seconds):.1f})"


def main() -> None:
    """Reads the command line, runs, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/demo.py", help="a recipe, as `motion-vit train` takes it")
    parser.add_argument("--videos", type=int, default=200, help="training videos to render")
    parser.add_argument("--repeats", type=int, default=3, help="warm starts")
    parser.add_argument("--cache", type=pathlib.Path, help="a compilation cache, of an earlier call too")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all measurements")
    options, options.overrides = parser.parse_known_args()
    print(f"{options.config}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    found = run(options)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
