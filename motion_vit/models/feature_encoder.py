"""The part of a model that makes its last features, for pretraining of networks whose layers need all tokens."""

from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array


class FeatureEncoder(NamedTuple):
    """All of a model but its head, to be called by another network.

    Attributes:
      encode: called with the module whose compact method is running, clips `[b, t, h, w, 3]` and the keyword `train`,
        gives the last features on their grid, `[b, t2, h2, w2, c]`. The layers are made in that module, whose
        parameters and running statistics so have the paths that they have in the model.
      parts: what these paths start with: the names of the layers.
      tubelet: frames, rows and columns in pixels of the part of a clip that a feature stands for: the distances of
        neighbouring ones.
      kernel_init: initialiser of the kernels of linear layers.
      dtype: dtype of the computation.
      frame_axis: axis of the mesh that frames are split over, or None.
    """

    encode: Callable[..., Array]
    parts: tuple[str, ...]
    tubelet: tuple[int, int, int]
    kernel_init: nn.initializers.Initializer
    dtype: DTypeLike
    frame_axis: str | None
