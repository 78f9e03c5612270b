"""Resizes position and time embeddings that were learned for another number of patches or frames.

Sources: `load_pretrained` of `timesformer/models/helpers.py` in facebookresearch/TimeSformer, see
`motion_vit.ops.nearest_resize`; for tables of distances `get_rel_pos` of `slowfast/models/attention.py` in
facebookresearch/SlowFast, see `motion_vit.ops.relative_positions`. Tables of the places of whole clips are ViViT's.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from motion_vit.interop.files.stored_tensor import Shape
from motion_vit.ops.nearest_resize import (
    resize_grid_embedding,
    resize_position_embedding,
    resize_time_embedding,
)
from motion_vit.ops.relative_positions import resize_table

# What their names end in, here and in PyTorch.
_POSITIONS = ("/position_embedding", "pos_embed")
_TIMES = ("/time_embedding", "time_embed")
TABLES_OF_DISTANCES = (
    *("/positions/frames", "/positions/rows", "/positions/columns"),
    *(".rel_pos_t", ".rel_pos_h", ".rel_pos_w"),
)
"""What the names of tables of relative positions end in, which are resized linearly."""


@dataclasses.dataclass(frozen=True)
class Places:
    """The places that a table of the places of whole clips is for.

    Attributes:
      grid: frames, rows and columns of the model's table, behind the entry of a class token if there is one.
      from_images: whether the source is a network of images, whose table is of one frame.
    """

    grid: tuple[int, int, int]
    from_images: bool = False

    def of_source(self, given: int, expected: int) -> tuple[int, tuple[int, int, int]] | None:
        """Finds the class tokens and the frames, rows and columns of a source's table.

        A table of clips has the model's rows and columns; that of a frame may be another square. A table with a class
        token may go to a model without one.

        Args:
          given: entries of the source.
          expected: entries of the model.

        Returns:
          None if the table fits neither.
        """
        frames, rows, columns = self.grid
        in_frame = rows * columns
        for class_tokens in dict.fromkeys((expected - frames * in_frame, 1)):
            places = given - class_tokens
            side = math.isqrt(max(places, 0))
            is_frame = self.from_images or (frames == 1 and in_frame > 1)
            if places == in_frame and is_frame:
                return class_tokens, (1, rows, columns)
            if side and side * side == places and is_frame:
                return class_tokens, (1, side, side)
            if places > 0 and places % in_frame == 0 and not self.from_images:
                return class_tokens, (places // in_frame, rows, columns)
        return None


def resizes(name: str, given: Shape, expected: Shape, places: Places | None = None) -> bool:
    """Tells if a weight is an embedding for other places or times than expected.

    Args:
      name: its path in the model, or its name in PyTorch.
      given: its shape in the source, `[..., entries, channels]`.
      expected: the shape that the model has in the source's layout.
      places: of a table of the places of whole clips, what it is for.
    """
    if len(given) != len(expected) or len(given) < 2 or given == expected:
        return False
    if (given[:-2], given[-1]) != (expected[:-2], expected[-1]):
        return False
    if places is not None:
        return places.of_source(given[-2], expected[-2]) is not None
    if name.endswith(_POSITIONS):
        return _side(given[-2]) is not None and _side(expected[-2]) is not None
    return name.endswith((*_TIMES, *TABLES_OF_DISTANCES)) and given[-2] > 0


def resize(
    path: str, embedding: Float[np.ndarray, "*one n c"], shape: Shape, places: Places | None = None
) -> Float[np.ndarray, "*one m c"]:
    """Resizes an embedding: to the nearest entry for each place or time; linearly where it is one of distances.

    Args:
      path: the path of the weight in the model.
      embedding: values in the source.
      shape: size in the model.
      places: as for `resizes`. The entries of an image are those of every frame, as in scenic's `tile`.

    Returns:
      An embedding of that shape.
    """
    entries = jnp.asarray(embedding.reshape(embedding.shape[-2:]))
    if path.endswith(TABLES_OF_DISTANCES):
        return np.asarray(resize_table(entries, shape[-2])).reshape(shape)
    if places is not None and (found := places.of_source(len(entries), shape[-2])) is not None:
        class_tokens, of_source = found
        resized = resize_grid_embedding(entries[class_tokens:], of_source, places.grid)
        # A model without a class token leaves out the entry of the source's.
        kept = entries[: shape[-2] - len(resized)]
        return np.concatenate([np.asarray(kept), np.asarray(resized)]).reshape(shape)
    if path.endswith(_TIMES):
        return np.asarray(resize_time_embedding(entries, shape[-2])).reshape(shape)
    side = math.isqrt(shape[-2] - 1)
    return np.asarray(resize_position_embedding(entries, side, side)).reshape(shape)


def _side(entries: int) -> int | None:
    """Returns the rows of the square of patches behind the class token, or None if there is no square."""
    side = math.isqrt(max(entries - 1, 0))
    return side if side and side * side + 1 == entries else None
