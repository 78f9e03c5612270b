"""Video transformers that see motion: EMIM and its kin in JAX/Flax."""

import os
from typing import TYPE_CHECKING

from motion_vit.errors import UserError
from motion_vit.models.intermediates import apply_with_intermediates
from motion_vit.models.registry import create_model, list_models

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from motion_vit.training.checkpoints.trained_model import TrainedModel

__all__ = ["UserError", "apply_with_intermediates", "create_model", "list_models", "load"]


def load(folder: str | os.PathLike[str], *, mesh: "Mesh | None" = None) -> "TrainedModel":
    """Loads a trained model: `trained.model.apply(trained.variables, clips)` gives the logits of `trained.label_names`.

    Clips are normalised as `motion_vit.training.inputs.normalization.normalization(trained.config)` does it.
    `motion_vit.training.checkpoints.load_trained` says more, and takes the best checkpoint or averages of a run.

    Args:
      folder: a weights folder, as `motion-vit export --format safetensors` or `huggingface` and `motion-vit import`
        write it, the workdir of a `motion-vit train` run, or "demo" for the small model that is installed.
      mesh: devices that hold the variables, all by default.

    Returns:
      Model, variables, label names and recipe.

    Raises:
      UserError: the folder is neither, or is damaged.
    """
    # Those who build models alone need not wait for the training code to be imported.
    from motion_vit.training.checkpoints.load_trained import load_trained

    return load_trained(folder, mesh=mesh)
