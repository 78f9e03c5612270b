"""Layouts of weights in PyTorch and here."""

import dataclasses
from collections.abc import Callable

import numpy as np

from motion_vit.interop.files.stored_tensor import Shape


@dataclasses.dataclass(frozen=True)
class Layout:
    """The order of a weight's axes in PyTorch and here, as a pair of functions that undo each other.

    Attributes:
      description: the axes in PyTorch and here.
      to_flax: takes an array from PyTorch's layout to ours.
      to_torch: takes an array from our layout to PyTorch's.
    """

    description: str
    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]

    def torch_shape(self, shape: Shape) -> Shape:
        """Gives the shape in PyTorch of a weight that has this shape here.

        Args:
          shape: of the weight here.
        """
        return self.to_torch(np.broadcast_to(np.float32(0), shape)).shape


SAME = Layout("the same in both", lambda x: x, lambda x: x)
LINEAR = Layout("[out, in] to [in, out]", lambda x: x.transpose(1, 0), lambda x: x.transpose(1, 0))
NUMBER = Layout("[1] to a number", lambda x: x.reshape(()), lambda x: x.reshape(1))

# Of clips.
POINTWISE = Layout(
    "[out, in, 1, 1, 1] to [in, out]",
    lambda x: x[:, :, 0, 0, 0].transpose(1, 0),
    lambda x: x.transpose(1, 0)[:, :, None, None, None],
)
CONVOLUTION = Layout(
    "[out, in, t, h, w] to [t, h, w, in, out]",
    lambda x: x.transpose(2, 3, 4, 1, 0),
    lambda x: x.transpose(4, 3, 0, 1, 2),
)
CONVOLUTION_OF_FRAMES = Layout(
    "[out, in, 1, h, w] to [h, w, in, out]",
    lambda x: x[:, :, 0].transpose(2, 3, 1, 0),
    lambda x: x.transpose(3, 2, 0, 1)[:, :, None],
)
DEPTHWISE = Layout(
    "[channels, 1, t, h, w] to [t, h, w, channels]",
    lambda x: x[:, 0].transpose(1, 2, 3, 0),
    lambda x: x.transpose(3, 0, 1, 2)[:, None],
)

# Of single frames.
FRAME_CONVOLUTION = Layout(
    "[out, in, h, w] to [h, w, in, out]", lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1)
)
FRAME_POINTWISE = Layout(
    "[out, in, 1, 1] to [in, out]",
    lambda x: x[:, :, 0, 0].transpose(1, 0),
    lambda x: x.transpose(1, 0)[:, :, None, None],
)
FRAME_DEPTHWISE = Layout(
    "[channels, 1, h, w] to [1, h, w, channels]",
    lambda x: x.transpose(1, 2, 3, 0),
    lambda x: x.transpose(3, 0, 1, 2),
)
FRAME_PATCHES = Layout(
    "[out, in, h, w] to [1, h, w, in, out]",
    lambda x: x.transpose(2, 3, 1, 0)[None],
    lambda x: x[0].transpose(3, 2, 0, 1),
)

# Of means of frames, over time.
TEMPORAL_CONVOLUTION = Layout(
    "[out, in, t] to [t, in, out]", lambda x: x.transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0)
)
TEMPORAL_POINTWISE = Layout(
    "[out, in, 1] to [in, out]", lambda x: x[:, :, 0].transpose(1, 0), lambda x: x.transpose(1, 0)[:, :, None]
)

# Of tokens.
CLASS_TOKEN = Layout("[1, 1, channels] to [channels]", lambda x: x[0, 0], lambda x: x[None, None])
EMBEDDING = Layout("[1, positions, channels] to [positions, channels]", lambda x: x[0], lambda x: x[None])
