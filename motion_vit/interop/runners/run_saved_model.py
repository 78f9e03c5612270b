"""Runs a TensorFlow SavedModel with TensorFlow alone."""

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `saved_model`; the first call compiles."""
    signature = tensorflow.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    return lambda clips: np.asarray(next(iter(signature(clips=tensorflow.constant(clips)).values())))


def version() -> str:
    """Returns the runtime and its version."""
    return f"tensorflow {tensorflow.__version__}"
