"""Times the exports of a model in their own runtimes against `jax.jit`, side by side in one run on the CPU.

    python benchmarks/export_formats.py --model uniformer_emim_s --repeats 5 --exports /tmp/exports

Every format is exported with the same random weights (`motion-vit export`; the folder `--exports` keeps them for the
next run) and runs in its own process, which imports its runtime alone. The processes take turns, so that other load on
the machine affects all alike, and only one computes at a time. The first row is `jax.jit` of the model itself, which
reads the weights of the safetensors export. So do the rows of other formats that hold weights alone: huggingface, and
torch, whose weights PyTorch's own loader reads. Ratios and differences of logits are to the first row. The first call,
in which some runtimes compile, is not timed. Loading means reading the file, after the runtime was imported.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

import motion_vit
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder
from motion_vit.training.recipe.config import default_config

ROOT = pathlib.Path(__file__).resolve().parents[1]
BASELINE = "safetensors"
EXPORT = "import sys; from motion_vit.cli import main; sys.exit(main())"


class Row(NamedTuple):
    """Measurements of an export."""

    name: str
    runtime: str
    megabytes: float
    load_seconds: float
    first_call_seconds: float
    seconds: list[float]
    logits: np.ndarray


class Runtime:
    """An export in its own process, loaded and called once.

    Args:
      name: FORMAT or FORMAT:DTYPE.
      folder: the export.
      clips: input of the first call.
    """

    def __init__(self, name: str, folder: pathlib.Path, clips: np.ndarray) -> None:
        self.name = name
        self._folder = folder
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        runner = FORMATS[name.partition(":")[0]].runner
        self._process = context.Process(target=serve, args=(theirs, runner, folder), daemon=True)
        self._process.start()
        self._runtime, self._load_seconds = self._connection.recv()
        self._first_seconds, self._logits = self.call(clips)
        self._seconds: list[float] = []

    def call(self, clips: np.ndarray) -> tuple[float, np.ndarray]:
        """Calls the export; returns the seconds that the call took there, and the logits."""
        self._connection.send(clips)
        seconds, logits = self._connection.recv()
        return seconds, logits

    def time(self, clips: np.ndarray) -> None:
        """Calls the export and records the time."""
        self._seconds.append(self.call(clips)[0])

    def close(self) -> Row:
        """Ends the process and returns the measurements."""
        self._connection.close()
        self._process.join()
        artefact = self._folder / json.loads((self._folder / "config.json").read_text())["export"]["file"]
        files = [file for file in artefact.rglob("*") if file.is_file()] if artefact.is_dir() else [artefact]
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        return Row(
            self.name, self._runtime, megabytes, self._load_seconds, self._first_seconds, self._seconds, self._logits
        )


def serve(connection: Connection, runner: str, folder: pathlib.Path) -> None:
    """Loads an export and answers calls; the body of its process."""
    sys.path.insert(0, str(ROOT / "motion_vit" / "interop" / "runners"))
    module = importlib.import_module(runner)
    start = time.perf_counter()
    model = module.load(folder)
    connection.send((module.version(), time.perf_counter() - start))
    try:
        while True:
            clips = connection.recv()
            start = time.perf_counter()
            logits = model(clips)
            connection.send((time.perf_counter() - start, logits))
    except EOFError:
        return


def drawn_model(name: str) -> TrainedModel:
    """Makes a model with random weights of the size of initial ones, none of which is zero."""
    config = default_config()
    config.model.name = name
    model = motion_vit.create_model(name)
    config.data.frames, config.data.size = model.frames, model.image_size
    generator = np.random.default_rng(0)

    def draw(leaves: dict[str, Any]) -> dict[str, Any]:
        return {
            key: draw(leaf) if isinstance(leaf, dict) else draw_one(key, leaf.shape) for key, leaf in leaves.items()
        }

    def draw_one(key: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = generator.standard_normal(shape, dtype=np.float32)
        if key == "kernel":
            return noise / np.sqrt(np.prod(shape[:-1], dtype=np.float32))
        return 1 + 0.2 * np.abs(noise) if key in ("scale", "var") else 0.05 * noise

    labels = tuple(f"class {number}" for number in range(model.num_classes))
    return TrainedModel(model, draw(dict(variable_shapes(model))), labels, config, step=0)


def make_export(name: str, checkpoint: pathlib.Path, folder: pathlib.Path, batch: int = 1) -> None:
    """Exports in a separate process, unless the export exists."""
    if folder.exists():
        return
    file_format, _, dtype = name.partition(":")
    command = [sys.executable, "-c", EXPORT, "export", str(checkpoint), "--format", file_format, "--out", str(folder)]
    command += ["--dtype", dtype or "float32"]
    # Of the same batch, so that all compile for it.
    command += [] if FORMATS[file_format].batches == "any" else ["--batch", str(batch)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


def measure(names: list[str], folder: pathlib.Path, clips: np.ndarray, repeats: int) -> list[Row]:
    """Loads all exports, then times them in turn."""
    runtimes = [Runtime(name, folder / name.replace(":", "-"), clips) for name in names]
    for repeat in range(repeats):
        # Whoever goes last may find the processor warmer, so they take turns in that too.
        for runtime in runtimes if repeat % 2 == 0 else reversed(runtimes):
            runtime.time(clips)
    return [runtime.close() for runtime in runtimes]


def table(model: str, clips: np.ndarray, rows: list[Row]) -> str:
    """Formats the measurements in Markdown."""
    baseline = rows[0]
    latency = statistics.median(baseline.seconds)
    lines = [
        f"{model}, clips {' x '.join(map(str, clips.shape))}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"largest logit {np.abs(baseline.logits).max():.2f}",
        "",
        "| format | runtime | MB | load | first call | median (min) | against JAX | max logit difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        median = statistics.median(row.seconds)
        lines.append(
            f"| {row.name} | {row.runtime} | {row.megabytes:.1f} | {row.load_seconds:.2f} s | "
            f"{row.first_call_seconds:.2f} s | {1e3 * median:.0f} ms ({1e3 * min(row.seconds):.0f}) | "
            f"{median / latency:.2f} | {np.abs(row.logits - baseline.logits).max():.1e} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, exports, measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="uniformer_emim_tiny", help="a name of motion_vit.list_models()")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=["huggingface", "torch", "stablehlo", "onnx", "savedmodel", "tflite"],
        metavar="FORMAT[:DTYPE]",
        help="what to compare with JAX, such as onnx or tflite:int8-weights",
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each")
    parser.add_argument("--exports", type=pathlib.Path, help="where exports are kept; default: a temporary folder")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"  # of the processes that are started
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.exports or pathlib.Path(temporary)) / options.model
        trained = drawn_model(options.model)
        if not (folder / "weights").exists():
            write_weights_folder(folder / "weights", trained)
        names = [BASELINE, *options.formats]
        for name in names:
            make_export(name, folder / "weights", folder / name.replace(":", "-"))
        clips = np.random.default_rng(0).standard_normal((1, *trained.model.clip_shape), dtype=np.float32)
        print(table(options.model, clips, measure(names, folder, clips, options.repeats)))


if __name__ == "__main__":
    main()
