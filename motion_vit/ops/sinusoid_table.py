"""A fixed table of sines and cosines that tells tokens their places.

Source: `get_sinusoid_encoding_table` in `modeling_finetune.py` of MCG-NJU/VideoMAE, after "Attention Is All You Need"
(arXiv 1706.03762, section 3.5).
"""

import functools

import numpy as np
from jaxtyping import Float


@functools.lru_cache(maxsize=8)
def sinusoid_table(positions: int, channels: int) -> Float[np.ndarray, "positions channels"]:
    """Makes the table: at position `p` and channel `j` the angle `p / 10000^(2 * floor(j / 2) / channels)`.

    Even channels hold its sine, odd ones its cosine. Angles reach thousands, of which float32 would lose the fraction:
    they are computed in float64.

    Args:
      positions: number of positions.
      channels: channels of a token.

    Returns:
      The table in float32, not to be written to.
    """
    channel = np.arange(channels)
    angles = np.arange(positions)[:, None] / np.power(10000.0, 2 * (channel // 2) / channels)[None]
    table = np.where(channel[None] % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)
    table.setflags(write=False)
    return table
