"""Runs an export on the clips of its `self_check.json` and prints its outputs, times and version as JSON.

    python check.py RUNNER FOLDER

RUNNER is a file beside this one, without its ending.
"""

import importlib
import json
import pathlib
import sys
import time

import numpy as np


def main() -> None:
    """Reads the command line, loads and calls the export, and prints the results."""
    runner = importlib.import_module(sys.argv[1])
    folder = pathlib.Path(sys.argv[2])
    check = json.loads((folder / "self_check.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(check["seed"])
    if check.get("dtype") == "uint8":
        clips = rng.integers(0, 256, check["shape"], dtype=np.uint8)
    else:
        clips = rng.standard_normal(check["shape"], dtype=np.float32)
    start = time.perf_counter()
    model = runner.load(folder)
    loaded = time.perf_counter()
    outputs = model(clips)
    result = {
        "outputs": outputs.tolist(),
        "runtime": runner.version(),
        "load_seconds": loaded - start,
        "first_call_seconds": time.perf_counter() - loaded,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
