"""Runs an export of weights alone: this library reads them back."""

import importlib.metadata
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from motion_vit.interop.torch_import import load_torch
from motion_vit.training.load_trained import load_trained
from motion_vit.training.model_description import CONFIG_FILE, read_description


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `model.safetensors`, or `model.pth`; the first call compiles."""
    if (folder / "model.pth").exists():
        model = read_description(folder / CONFIG_FILE).trained.model
        variables, _ = load_torch(model, folder / "model.pth")
    else:
        trained = load_trained(folder)
        model, variables = trained.model, trained.variables
    logits = jax.jit(model.apply)
    return lambda clips: np.asarray(logits(variables, clips), np.float32)


def version() -> str:
    """The library and its version."""
    return f"motion_vit {importlib.metadata.version('motion_vit')}"
