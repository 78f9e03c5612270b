"""Runs an export in another runtime, in a separate process, and compares its outputs with JAX's."""

import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np

from motion_vit.errors import UserError
from motion_vit.files.json_file import read_json
from motion_vit.interop.exporting.export import check_packages
from motion_vit.interop.exporting.formats import FORMATS
from motion_vit.interop.exporting.interface import Output
from motion_vit.interop.exporting.self_check import read_self_check
from motion_vit.training.checkpoints.model_description import CONFIG_FILE

_CHECK = pathlib.Path(__file__).parents[1] / "runners" / "check.py"
_SHOWN_LINES = 8


@dataclasses.dataclass(frozen=True)
class Verification:
    """The result of running an export.

    Attributes:
      file_format: name of the format.
      runtime: name and version of the runtime.
      max_difference: largest absolute difference of an output from JAX's.
      tolerance: largest accepted difference.
      largest_output: largest absolute output, the scale of both.
      load_seconds: time to read the file, after the runtime was imported.
      first_call_seconds: time of the first call, in which some runtimes compile.
      output: what was compared, logits or probabilities.
    """

    file_format: str
    runtime: str
    max_difference: float
    tolerance: float
    largest_output: float
    load_seconds: float
    first_call_seconds: float
    output: Output = "logits"

    @property
    def agrees(self) -> bool:
        """True if the outputs are JAX's within the tolerance. NaN and infinite ones do not agree."""
        # The tolerance is a share of JAX's largest logit: where that is infinite, anything would be within it.
        return self.max_difference <= self.tolerance < math.inf

    @property
    def _one(self) -> str:
        return "logit" if self.output == "logits" else "probability"

    def __str__(self) -> str:
        """Formats the result as a sentence."""
        verdict = "agree with" if self.agrees else "DIFFER from"
        return (
            f"{self.output} of {self.runtime} {verdict} JAX's: largest difference {self.max_difference:.2g}, tolerance "
            f"{self.tolerance:.2g}, largest {self._one} {self.largest_output:.3g}; loaded in {self.load_seconds:.2f} s"
        )


def verify(folder: str | os.PathLike[str]) -> Verification:
    """Runs an export on the clips of its self-check.

    Args:
      folder: a folder of `motion-vit export`.

    Returns:
      Differences and times; see `Verification.agrees`.

    Raises:
      UserError: the folder is no export, the runtime is not installed, or it fails on the file.
    """
    path = pathlib.Path(folder).absolute()
    file_format = _format_of(path)
    check = read_self_check(path)
    check_packages(file_format)
    found = _run(FORMATS[file_format].runner, path)
    outputs = np.asarray(found["outputs"], np.float32)
    output = check.interface.output
    if outputs.shape != check.outputs.shape:
        raise UserError(f"{path} gave {output} of shape {outputs.shape}, but JAX gives {check.outputs.shape}.")
    return Verification(
        file_format=file_format,
        runtime=found["runtime"],
        max_difference=float(np.abs(outputs - check.outputs).max()),
        tolerance=check.tolerance,
        largest_output=float(np.abs(check.outputs).max()),
        load_seconds=found["load_seconds"],
        first_call_seconds=found["first_call_seconds"],
        output=output,
    )


def _format_of(folder: pathlib.Path) -> str:
    path = folder / CONFIG_FILE
    try:
        file_format = read_json(path)["export"]["format"]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give a folder of `motion-vit export`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not describe an export. Give a folder of `motion-vit export`.") from error
    if file_format not in FORMATS:
        raise UserError(f"{path} is of the unknown format {file_format!r}. The formats are: {', '.join(FORMATS)}.")
    return str(file_format)


def _run(runner: str, folder: pathlib.Path) -> dict[str, Any]:
    # On the CPU, as the logits to compare with: accelerators round, and a TPU belongs to this process.
    on_cpu = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **on_cpu}
    process = subprocess.run(
        [sys.executable, str(_CHECK), runner, str(folder)], capture_output=True, text=True, env=environment, check=False
    )
    if process.returncode:
        last = "\n".join(process.stderr.strip().splitlines()[-_SHOWN_LINES:])
        raise UserError(f"the exported model in {folder} cannot be run (exit status {process.returncode}):\n{last}")
    found: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    return found
