"""A trained model whose weights are drawn at random, for tests of where trained models come from and go to."""

import jax
import numpy as np
from small_network import register_small_network

import motion_vit
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.recipe.config import default_config


def small_trained_model(seed: int = 0, *, name: str = "small", size: int = 32, **options: object) -> TrainedModel:
    """Makes one.

    Args:
      seed: of the weights.
      name: the model; `small` is a network that compiles in a second.
      size: height and width of its clips of four frames.
      **options: other options of the model.

    Returns:
      The model, with ten classes, and every weight and statistic drawn anew.
    """
    register_small_network()
    config = default_config()
    config.name = "drawn"
    config.model.name = name
    config.model.options.update(options)
    config.data.frames, config.data.size = 4, size
    model = motion_vit.create_model(name, num_classes=10, frames=4, image_size=size, **options)
    rng = np.random.default_rng(seed)

    def draw(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        values = rng.standard_normal(leaf.shape).astype(np.float32) * np.float32(0.1)
        return 1 + np.abs(values) if path[-1].key == "var" else values

    with jax.numpy_dtype_promotion("standard"):  # which Flax's own modules rely on
        variables = jax.tree_util.tree_map_with_path(draw, variable_shapes(model))
    return TrainedModel(model, variables, tuple(f"class {number}" for number in range(10)), config, step=21)
