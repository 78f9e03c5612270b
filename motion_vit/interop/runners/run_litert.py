"""Runs a LiteRT export with the interpreter of ai_edge_litert."""

import importlib.metadata
import os
import pathlib
from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `model.tflite`."""
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner("serving_default")
    (output,) = runner.get_output_details().keys() - {"uncertainty"}
    return lambda clips: np.asarray(runner(clips=clips)[output])


def version() -> str:
    """Returns the runtime and its version."""
    return f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
