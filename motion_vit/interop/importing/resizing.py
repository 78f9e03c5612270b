"""Resizes position and time embeddings that were learned for another number of patches or frames.

Sources: `load_pretrained` of `timesformer/models/helpers.py` in facebookresearch/TimeSformer, see
`motion_vit.ops.nearest_resize`; for tables of distances `get_rel_pos` of `slowfast/models/attention.py` in
facebookresearch/SlowFast, see `motion_vit.ops.relative_positions`.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.ops.nearest_resize import resize_position_embedding, resize_time_embedding
from motion_vit.ops.relative_positions import resize_table

# What their names end in, here and in PyTorch.
_POSITIONS = ("/position_embedding", "pos_embed")
_TIMES = ("/time_embedding", "time_embed")
TABLES_OF_DISTANCES = (
    *("/positions/frames", "/positions/rows", "/positions/columns"),
    *(".rel_pos_t", ".rel_pos_h", ".rel_pos_w"),
)
"""What the names of tables of relative positions end in, which are resized linearly."""


def resizes(name: str, given: Shape, expected: Shape) -> bool:
    """Tells if a weight is an embedding for other places or times than expected.

    Args:
      name: its path in the model, or its name in PyTorch.
      given: its shape in the source, `[..., entries, channels]`.
      expected: the shape that the model has in the source's layout.
    """
    if len(given) != len(expected) or len(given) < 2 or given == expected:
        return False
    if (given[:-2], given[-1]) != (expected[:-2], expected[-1]):
        return False
    if name.endswith(_POSITIONS):
        return _side(given[-2]) is not None and _side(expected[-2]) is not None
    return name.endswith((*_TIMES, *TABLES_OF_DISTANCES)) and given[-2] > 0


def resize(path: str, embedding: Float[np.ndarray, "*one n c"], shape: Shape) -> Float[np.ndarray, "*one m c"]:
    """Resizes an embedding: to the nearest entry for each place or time; linearly where it is one of distances.

    Args:
      path: the path of the weight in the model.
      embedding: values in the source.
      shape: size in the model.

    Returns:
      An embedding of that shape.
    """
    entries = jnp.asarray(embedding.reshape(embedding.shape[-2:]))
    if path.endswith(TABLES_OF_DISTANCES):
        return np.asarray(resize_table(entries, shape[-2])).reshape(shape)
    if path.endswith(_TIMES):
        return np.asarray(resize_time_embedding(entries, shape[-2])).reshape(shape)
    side = math.isqrt(shape[-2] - 1)
    return np.asarray(resize_position_embedding(entries, side, side)).reshape(shape)


def _side(entries: int) -> int | None:
    """Returns the rows of the square of patches behind the class token, or None if there is no square."""
    side = math.isqrt(max(entries - 1, 0))
    return side if side and side * side + 1 == entries else None
