"""Runs a TensorFlow SavedModel with TensorFlow alone."""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `saved_model`; the first call compiles."""
    signature = tensorflow.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    (output,) = signature.structured_outputs.keys() - {"uncertainty"}
    return lambda clips: np.asarray(signature(clips=tensorflow.constant(clips))[output])


def version() -> str:
    """Returns the runtime and its version."""
    return f"tensorflow {tensorflow.__version__}"
