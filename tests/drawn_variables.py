"""Variables of models drawn by NumPy: compiling an initialisation takes as long as compiling a small step."""

import math
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from motion_vit.models.checked_model import variable_shapes


def drawn_variables(model: nn.Module, seed: int = 0) -> dict[str, Any]:
    """Draws variables with which no part of a model is silent.

    Args:
      model: a model of `motion_vit.create_model`.
      seed: of the numbers.

    Returns:
      `params` and `batch_stats`: kernels whose outputs have about the variance of their inputs, scales and variances of
      one, and small numbers for all else.
    """
    rng = np.random.default_rng(seed)

    def draw(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        values = rng.standard_normal(leaf.shape, np.float32)
        name = path[-1].key
        if name in ("scale", "var"):
            return np.ones_like(values)
        return values * np.float32(1 / math.sqrt(math.prod(leaf.shape[:-1])) if name == "kernel" else 0.02)

    # In one go and as they are: `jnp.asarray` would compile a program for each shape.
    return jax.device_put(jax.tree_util.tree_map_with_path(draw, variable_shapes(model)))


def random_variables(model: nn.Module, rng: np.random.Generator) -> dict[str, Any]:
    """Draws every weight from the standard normal distribution, for tests of where weights go."""
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), variable_shapes(model))
