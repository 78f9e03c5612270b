"""Cost-volume attention in PyTorch by windows of keys, as libraries of neighbourhood attention compute it.

Each query meets the keys and values of its window alone, which needs no products of all pairs, but copies of every key
for each window that it is in. The border is the authors': what lies outside holds `PADDING`.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch_uniformer import PADDING


def unfolded_cost_volume_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    position_bias: torch.Tensor,
    motion: Sequence[torch.Tensor],
    window: int,
) -> torch.Tensor:
    """Computes what `torch_uniformer.cost_volume_attention` does.

    Args:
      query: scaled queries `[b, pairs, h, w, heads, d]`.
      key: keys of the other frames, of the same shape.
      value: their values.
      position_bias: `[heads, window, window]`.
      motion: kernel and bias of the hidden layer, `[window ** 2, hidden]`, and of the output, `[hidden, d]`.
      window: side of the neighbourhood.

    Returns:
      `[b, pairs, h, w, heads, d]`.
    """
    affinity = torch.einsum("bnhwcd,bnhwcdp->bnhwcp", query, _windows(key, window))
    affinity = affinity + position_bias.flatten(1)
    weights = affinity.softmax(-1, dtype=torch.float32).to(value.dtype)
    appearance = torch.einsum("bnhwcp,bnhwcdp->bnhwcd", weights, _windows(value, window))
    hidden_kernel, hidden_bias, output_kernel, output_bias = motion
    hidden = F.linear(affinity, hidden_kernel.t(), hidden_bias)
    return appearance + F.linear(hidden * torch.sigmoid(1.702 * hidden), output_kernel.t(), output_bias)


def _windows(x: torch.Tensor, window: int) -> torch.Tensor:
    """Gathers the window around every place, `[b, pairs, h, w, heads, d, window ** 2]`."""
    radius = window // 2
    padded = F.pad(x, (0, 0, 0, 0, radius, radius, radius, radius), value=PADDING)
    return padded.unfold(2, window, 1).unfold(3, window, 1).flatten(-2)
