"""Exports as a user makes them: `motion-vit export` in a process of its own, and scripts in other processes."""

import ast
import json
import os
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

from small_trained_model import small_trained_model

from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weights_folder import write_weights_folder

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMAND = "import sys; from motion_vit.cli import main; sys.exit(main())"


class Finished(NamedTuple):
    """A process that has ended."""

    status: int
    output: str
    errors: str


def emim_model(**options: Any) -> TrainedModel:
    """The smallest model with every operator: both attentions on maps larger than a token."""
    return small_trained_model(name="uniformer_emim_tiny", patch_sizes=(4, 2, 1, 1), **options)


def write_emim_model(folder: pathlib.Path, **options: Any) -> pathlib.Path:
    """Writes it as a weights folder, for commands to read."""
    write_weights_folder(folder, emim_model(**options))
    return folder


def run_python(code: str, *arguments: object) -> Finished:
    """Runs code in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Finished(process.returncode, process.stdout, process.stderr)


def export(weights: pathlib.Path, file_format: str, out: pathlib.Path, *options: str) -> Finished:
    """Runs `motion-vit export`."""
    return run_python(COMMAND, "export", weights, "--format", file_format, "--out", out, *options)


def read_config(folder: pathlib.Path) -> dict[str, Any]:
    """`config.json` of an export."""
    values: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return values


WITHOUT_THE_LIBRARY = """
import runpy, sys
sys.modules["motion_vit"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_example(folder: pathlib.Path, videos: list[pathlib.Path]) -> list[dict[str, float]]:
    """Runs `example.py` of an export where the library cannot be imported.

    Args:
      folder: the export.
      videos: files to classify.

    Returns:
      The probability of each label, the most probable first, for each video.
    """
    finished = run_python(WITHOUT_THE_LIBRARY, folder / "example.py", *videos, "--top", "1000")
    assert finished.status == 0, finished.errors
    found: list[dict[str, float]] = []
    for line in finished.output.splitlines():
        if line.startswith("  "):
            probability, label = line.split(maxsplit=1)
            found[-1][ast.literal_eval(label)] = float(probability)
        else:
            found.append({})
    return found
