"""Makes a model with random weights, to try out visualization without a trained one."""

from collections.abc import Mapping
from typing import Any

import jax

from motion_vit.models.checked_model import checked_model
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.recipe.config import default_config

_CLASSES = 10


def random_model(name: str, options: Mapping[str, Any]) -> TrainedModel:
    """Makes a model with random weights.

    Args:
      name: a model of `motion_vit.list_models()`.
      options: of `motion_vit.create_model`; there are 10 classes unless `num_classes` says otherwise.

    Returns:
      The model with fresh weights, at step 0, and the default recipe's sampling and normalisation.

    Raises:
      UserError: a name or an option is unknown, or the model refuses its options; see `checked_model`.
    """
    traced = checked_model(name, {"num_classes": _CLASSES, **options})
    model = traced.model
    config = default_config()
    config.model.name = name
    config.model.options.update(options)
    config.data.frames, config.data.size = model.frames, model.image_size
    variables = jax.jit(traced.init)(jax.random.key(0))
    labels = tuple(f"class {number}" for number in range(model.num_classes))
    return TrainedModel(model, variables, labels, config, step=0)
