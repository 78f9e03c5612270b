"""Runs an ONNX export with onnxruntime on the CPU."""

import pathlib
from collections.abc import Callable

import numpy as np
import onnxruntime


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `model.onnx`."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda clips: np.asarray(session.run(None, {"clips": clips})[0])


def version() -> str:
    """Returns the runtime and its version."""
    return f"onnxruntime {onnxruntime.__version__}"
