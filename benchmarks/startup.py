"""Times `motion-vit train` from the command to the end of the first step, with cold and warm compilation cache.

    python benchmarks/startup.py                                              # the demo's recipe
    python benchmarks/startup.py --config configs/comparison.py:emim --repeats 5

Renders a few videos of the embedded dataset, and starts training on them repeatedly, each time in a new workdir: first
with an empty compilation cache ("cold"), then with the cache of that start ("warm"). A start is timed from the launch
of the process to the line that reports the first step; then training is told to stop. The table also has the seconds
that the process itself counts for the step: the rest is Python, imports, data and drawing the parameters.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

COMMAND = [sys.executable, "-c", "import sys; from motion_vit.cli import main; sys.exit(main())"]
STOPPED = 75
"""Exit status of a training that was told to stop and saved."""


def start(config: str, data: pathlib.Path, workdir: pathlib.Path, cache: pathlib.Path) -> tuple[float, float]:
    """Starts a training and stops it after its first step.

    Args:
      config: recipe to train.
      data: a rendered dataset.
      workdir: new folder of the run.
      cache: folder of compiled programs.

    Returns:
      Seconds from the launch of the process to the end of the first step, and the process's own seconds of the step.

    Raises:
      RuntimeError: the process ended before; the message is its output.
    """
    lists = {"train": data / "train.csv", "validation": data / "validation.csv"}
    arguments = ["--config", config, "--workdir", str(workdir)]
    arguments += [f"--config.data.{name}={path}" for name, path in lists.items()]
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
            if found := re.search(r"first step done after ([\d.]+) s", line):
                seconds = time.perf_counter() - began
                process.send_signal(signal.SIGTERM)
                lines += process.stdout or ()
                break
        else:
            raise RuntimeError(f"training ended before its first step:\n{''.join(lines)}")
    if process.returncode != STOPPED:
        raise RuntimeError(f"training did not stop as it was told:\n{''.join(lines)}")
    return seconds, float(found.group(1))


def run(options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Times one cold start and several warm ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data, cache = folder / "data", folder / "cache"
        render = ["render", "--out", str(data), "--train", str(options.videos), "--validation", "20"]
        subprocess.run([*COMMAND, *render], check=True, capture_output=True)
        starts = [start(options.config, data, folder / f"run{i}", cache) for i in range(1 + options.repeats)]
    return {"cold": starts[:1], "warm": starts[1:]}


def table(found: Mapping[str, list[tuple[float, float]]]) -> str:
    """Formats the times as a Markdown table."""
    lines = ["| cache | starts | to the first step s: median (min) | of it the step s |", "|---|---:|---:|---:|"]
    for name, starts in found.items():
        whole, step = ([pair[part] for pair in starts] for part in (0, 1))
        seconds = f"{statistics.median(whole):.1f} ({min(whole):.1f})"
        lines.append(f"| {name} | {len(starts)} | {seconds} | {statistics.median(step):.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, runs, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/demo.py", help="a recipe, as `motion-vit train` takes it")
    parser.add_argument("--videos", type=int, default=200, help="training videos to render")
    parser.add_argument("--repeats", type=int, default=3, help="warm starts")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all measurements")
    options = parser.parse_args()
    print(f"{options.config}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    found = run(options)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
