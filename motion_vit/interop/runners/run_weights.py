"""Runs an export of weights alone: this library reads them back."""

import importlib.metadata
import pathlib
from collections.abc import Callable

import jax
import numpy as np

import motion_vit


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `model.safetensors`; the first call compiles."""
    trained = motion_vit.load(folder)
    logits = jax.jit(trained.model.apply)
    return lambda clips: np.asarray(logits(trained.variables, clips), np.float32)


def version() -> str:
    """Returns the library and its version."""
    return f"motion_vit {importlib.metadata.version('motion_vit')}"
