"""The parts of a plain transformer, which encodes some tokens of a clip as well as all, for masked autoencoding."""

from collections.abc import Callable
from typing import NamedTuple

from flax import linen as nn
from jax.typing import DTypeLike


class TokenEncoder(NamedTuple):
    """The parts of a plain transformer. Modules have no parent, and are adopted by the field that holds them.

    Attributes:
      embedding: called with clips `[b, t, h, w, 3]` and `train`, gives tokens `[b, t2, h2, w2, c]` that know their
        places. Its parameters have the paths that they have in the model, below `embedding`.
      blocks: called with tokens `[b, t2, n, 1, c]` of any number of places and `train`, gives as many. Likewise, below
        `blocks`.
      make_blocks: makes blocks of the same kind of another width, depth and number of heads, for a decoder.
      tubelet: frames, rows and columns of a tubelet in pixels.
      width: channels of a token.
      heads: attention heads.
      kernel_init: initialiser of the kernels of linear layers in pretraining.
      norm_epsilon: what LayerNorms add to the variance.
      dtype: dtype of the computation.
      frame_axis: axis of the mesh that frames of tokens are split over, or None.
    """

    embedding: nn.Module
    blocks: nn.Module
    make_blocks: Callable[[int, int, int], nn.Module]
    tubelet: tuple[int, int, int]
    width: int
    heads: int
    kernel_init: nn.initializers.Initializer
    norm_epsilon: float
    dtype: DTypeLike
    frame_axis: str | None
