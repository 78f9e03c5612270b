"""Runs an export of PyTorch weights: PyTorch reads the file, this library computes the logits."""

import importlib.metadata
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import torch

from motion_vit.interop.importing.state_dict import load_torch
from motion_vit.training.checkpoints.model_description import CONFIG_FILE, read_description


def load(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Reads `model.pth`; the first call compiles."""
    model = read_description(folder / CONFIG_FILE).trained.model
    variables, _ = load_torch(model, torch.load(folder / "model.pth", map_location="cpu", weights_only=True))
    logits = jax.jit(model.apply)
    return lambda clips: np.asarray(logits(variables, clips), np.float32)


def version() -> str:
    """Returns both libraries and their versions."""
    return f"motion_vit {importlib.metadata.version('motion_vit')}, weights read by PyTorch {torch.__version__}"
