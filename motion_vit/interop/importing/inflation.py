"""Inflates image convolutions to convolutions of clips.

Sources: `inflate_weight` of `slowfast/models/uniformer.py` in Sense-X/UniFormer, which averages; `archs/i3d_resnet.py`
of gebob19/M2A, which repeats.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from motion_vit.interop.files.stored_tensor import Shape

Inflation = Literal["average", "center", "repeat"]
"""How a kernel is spread over the frames that it gains: "average" repeats it and divides by their number, as the
authors start UniFormer from ImageNet; "center" puts it at the middle frame, and zeros elsewhere. On a clip whose frames
are all alike both give what the image gave, but for the first and last frames, where "average" sees zeros beyond the
clip. "repeat" does not divide, as M2A's authors start I3D: outputs are as many times as large."""


def inflates(given: Shape, expected: Shape) -> bool:
    """Tells if a weight is an image convolution where a convolution of clips is expected.

    Args:
      given: its shape, `[out, in, h, w]` if it is.
      expected: the shape expected, `[out, in, t, h, w]` if it is.
    """
    return len(expected) == 5 and given == expected[:2] + expected[3:]


def inflate(
    kernel: Float[np.ndarray, "out in h w"], frames: int, inflation: Inflation
) -> Float[np.ndarray, "out in t h w"]:
    """Gives an image convolution a time axis.

    Args:
      kernel: of the image convolution, in PyTorch's layout.
      frames: size of the time axis.
      inflation: method of distributing it over the frames.

    Returns:
      A kernel for clips whose sum over time is `kernel`, or with "repeat" `frames` times that.
    """
    if inflation != "center":
        divisor = np.float32(frames if inflation == "average" else 1)
        return np.repeat(kernel[:, :, None] / divisor, frames, axis=2)
    inflated = np.zeros((*kernel.shape[:2], frames, *kernel.shape[2:]), kernel.dtype)
    inflated[:, :, frames // 2] = kernel
    return inflated
