"""Runs a StableHLO export with JAX alone."""

import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jax import export


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `model.stablehlo`; the first call compiles."""
    call = jax.jit(export.deserialize(bytearray((folder / "model.stablehlo").read_bytes())).call)
    # The first of two outputs, or the only one.
    return lambda clips: np.asarray(jax.tree.leaves(call(clips))[0])


def version() -> str:
    """Returns the runtime and its version."""
    return f"jax {jax.__version__}"
