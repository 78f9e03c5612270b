"""Padding of convolutions and pools at the edges of clips."""

from typing import Literal

Padding = Literal["half", "same"]
"""Padding of an axis: "half" is half the kernel on either side, as PyTorch's `padding=k // 2`. "same" is TensorFlow's:
as little as the last window needs, and where that is odd, one more behind than in front. They differ for strides above
1, and both give `ceil(size / stride)` windows of an odd kernel."""


def edge_padding(size: int, kernel: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Computes how much is added along an axis.

    Args:
      size: positions along the axis.
      kernel: positions that a window spans.
      stride: distance of neighbouring windows.
      padding: see `Padding`.

    Returns:
      Positions in front and behind.
    """
    if padding == "half":
        return kernel // 2, kernel // 2
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2
