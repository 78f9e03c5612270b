"""Export as a PyTorch checkpoint with the official names: the inverse of `motion_vit.interop.importing.state_dict`.

Names and layouts come from the table that imports use. The file has the form that the authors' code saves, a mapping
`{"model_state": {name: tensor}}`, and loads with `strict=True` into a module of the official structure. It holds only
tensors, so that `torch.load(path, weights_only=True)` reads it.
"""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from motion_vit.errors import UserError
from motion_vit.files.atomic_file import atomic_file
from motion_vit.interop.exporting.missing_package import missing_package
from motion_vit.interop.families.name_rules import RUNNING_MEAN, STEP_COUNTER
from motion_vit.interop.families.registry import model_family, torch_entries
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import compress

if TYPE_CHECKING:
    import torch

TORCH_FILE = "model.pth"


def export_torch(trained: TrainedModel, folder: pathlib.Path, *, dtype: WeightDtype) -> dict[str, Any]:
    """Writes `model.pth`.

    Args:
      trained: weights, labels and preprocessing.
      folder: an existing folder.
      dtype: "float32", "bfloat16" or "float16"; running statistics stay in float32.

    Returns:
      The entry `export` of `config.json`.

    Raises:
      UserError: PyTorch is not installed, the model has no PyTorch counterpart, the weights are not finite or do not
        fit `dtype`, or `dtype` has none in a state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_package("torch", error) from error
    if dtype == "int8-weights":
        raise UserError(
            "a PyTorch state dict has no place for the scales of int8-weights. Export with --dtype float32, bfloat16 "
            "or float16, and quantise in PyTorch."
        )
    state_dict = torch_state_dict(trained.model, compress(trained.variables, dtype), trained.step)
    tensors = {name: _tensor(array) for name, array in state_dict.items()}
    try:
        with atomic_file(folder / TORCH_FILE) as file:
            torch.save({"model_state": tensors}, file)
    except RuntimeError as error:  # what PyTorch's writer makes of a full disk
        raise OSError(f"{TORCH_FILE}: {str(error).splitlines()[0]}") from error
    return {"format": "torch", "dtype": dtype, "file": TORCH_FILE, "entry": "model_state"}


def torch_state_dict(model: VideoModel, arrays: Mapping[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """Converts variables to a state dict in PyTorch's names and layouts.

    Args:
      model: a model of `motion_vit.create_model`.
      arrays: its variables by "/"-joined path, which begins with the collection.
      step: number of training steps, for BatchNorm's step counters.

    Returns:
      Name in PyTorch -> array; with a step counter for each BatchNorm, as `strict=True` demands.

    Raises:
      UserError: the model has no PyTorch counterpart.
    """
    state_dict: dict[str, np.ndarray] = {}
    for path, entry in torch_entries(model, arrays).items():
        state_dict[entry.name] = entry.layout.to_torch(arrays[path])
    published = model_family(model).published(model, state_dict)
    state_dict = {name: np.ascontiguousarray(array) for name, array in published.items()}
    modules = [name.rpartition(".") for name in state_dict if name.endswith(f".{RUNNING_MEAN}")]
    return state_dict | {f"{module}.{STEP_COUNTER}": np.array(step, np.int64) for module, _, _ in modules}


def _tensor(array: np.ndarray) -> "torch.Tensor":
    import torch

    if array.dtype == jnp.bfloat16:  # which NumPy itself does not have: handed over as bits
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
