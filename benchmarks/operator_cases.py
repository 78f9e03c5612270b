"""The operators of the models at their important shapes, as functions of JAX and of PyTorch."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional as F
from torch_unfold import unfolded_cost_volume_attention
from torch_uniformer import cost_volume_attention as torch_cost_volume_attention

from motion_vit.ops import cost_volume, depthwise_conv3d, global_attention
from motion_vit.ops.motion_branch import MotionBranch

WINDOW = 7


@dataclasses.dataclass(frozen=True)
class OperatorCase:
    """An operator at one shape.

    Attributes:
      name: of the operator.
      shape: for the report.
      arrays: shape of each input, all of which have gradients.
      forms: implementations of JAX by name, functions of the inputs; "default" is the library's own choice.
      reference: the readable one of the forms, for comparisons in float64.
      pytorch: forms of the same in PyTorch by name, functions of the inputs; "pytorch" is the fastest known.
      multiply_adds: of the forward pass, no more than the definition needs.
    """

    name: str
    shape: str
    arrays: Mapping[str, tuple[int, ...]]
    forms: Mapping[str, Callable[..., jax.Array]]
    reference: str
    pytorch: Mapping[str, Callable[..., torch.Tensor]]
    multiply_adds: int

    def floor_bytes(self, item_size: int, *, backward: bool) -> int:
        """Returns the bytes to read and write at least: every input and output once, and in the backward pass again."""
        inputs = sum(math.prod(shape) for shape in self.arrays.values())
        output = math.prod(self.arrays["value" if "value" in self.arrays else "x"])
        forward = inputs + output
        # Backward: inputs and the output's gradient are read, the inputs' gradients are written.
        return (forward + (2 * inputs + output if backward else 0)) * item_size

    def flops(self, *, backward: bool) -> int:
        """Counts floating-point operations: 2 per multiply-add, and 2 in the backward pass for each in the forward."""
        return 2 * self.multiply_adds * (3 if backward else 1)


def with_gradients(function: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, Any]]:
    """Makes the function that returns the output and, for an output's gradient of ones, the gradients of all inputs."""

    def both(*arguments: jax.Array) -> tuple[jax.Array, Any]:
        output, pullback = jax.vjp(function, *arguments)
        return output, pullback(jnp.ones_like(output))

    return both


def chosen_forms(case: OperatorCase, chosen: str) -> list[str]:
    """Lists the forms of JAX that a command line names: names separated by commas, or "all"."""
    return list(case.forms) if chosen == "all" else [name for name in chosen.split(",") if name in case.forms]


def chosen_pytorch(case: OperatorCase, chosen: str) -> list[str]:
    """Lists PyTorch's forms to compare with: the fastest known, and those that a command line names, or "all"."""
    return [name for name in case.pytorch if name == "pytorch" or chosen == "all" or name in chosen.split(",")]


def random_inputs(case: OperatorCase) -> list[np.ndarray]:
    """Draws inputs in float32. Weights are small, so that outputs are of the size of the inputs."""
    generator = np.random.default_rng(0)
    return [
        generator.standard_normal(shape, dtype=np.float32) * (0.1 if "kernel" in name or "bias" in name else 1)
        for name, shape in case.arrays.items()
    ]


def cases(batch: int) -> Iterator[OperatorCase]:
    """Yields every operator at the shapes of UniFormer-S and -B at 224 x 224 pixels (same attention), and larger.

    Args:
      batch: clips.

    Yields:
      The cases.
    """
    for pairs, side, heads in ((15, 14, 5), (15, 7, 8), (31, 14, 5), (31, 7, 8), (15, 28, 5), (15, 56, 5)):
        yield cost_volume_case(batch, pairs, side, heads)
    for side, channels, kernel in ((56, 64, 5), (28, 128, 5), (56, 64, 3), (28, 128, 3), (14, 320, 3), (7, 512, 3)):
        yield depthwise_case(batch, 16, side, channels, kernel)
    for tokens, heads in ((3136, 5), (784, 8), (6272, 5), (1568, 8)):
        yield global_attention_case(batch, tokens, heads)


def cost_volume_case(batch: int, pairs: int, side: int, heads: int, channels: int = 64) -> OperatorCase:
    """Makes a case of cost-volume attention with its motion branch on `side x side` tokens per frame."""
    taps = WINDOW**2
    tokens = (batch, pairs, side, side, heads, channels)
    arrays = dict.fromkeys(("query", "key", "value"), tokens) | {
        "position_bias": (heads, WINDOW, WINDOW),
        "hidden_kernel": (taps, 4 * taps),
        "hidden_bias": (4 * taps,),
        "output_kernel": (4 * taps, channels),
        "output_bias": (channels,),
    }

    def form(implementation: str | None) -> Callable[..., jax.Array]:
        def attend(query: Any, key: Any, value: Any, bias: Any, *motion: Any) -> jax.Array:
            branch = MotionBranch(*motion)
            return cost_volume.cost_volume_attention(
                query, key, value, bias, branch, window=WINDOW, implementation=implementation
            )

        return attend

    def dense(query: Any, key: Any, value: Any, bias: Any, *motion: Any) -> torch.Tensor:
        heads_first = (x.flatten(2, 3).transpose(2, 3) for x in (query * channels**-0.5, key, value))
        output = torch_cost_volume_attention(*heads_first, bias, motion, (side, side), WINDOW)
        return output.transpose(2, 3).unflatten(2, (side, side))

    def unfolded(query: Any, key: Any, value: Any, bias: Any, *motion: Any) -> torch.Tensor:
        return unfolded_cost_volume_attention(query * channels**-0.5, key, value, bias, motion, WINDOW)

    per_query = 2 * taps * channels + taps * 4 * taps + 4 * taps * channels
    return OperatorCase(
        "cost-volume attention",
        f"{pairs} pairs of {side} x {side}, {heads} heads of {channels}, K = {WINDOW}",
        arrays,
        {"default": form(None), **{name: form(name) for name in cost_volume.IMPLEMENTATIONS}},
        "xla_window",
        {"pytorch": dense, "pytorch unfold": unfolded},
        math.prod(tokens[:5]) * per_query,
    )


def depthwise_case(batch: int, frames: int, side: int, channels: int, size: int) -> OperatorCase:
    """Makes a case of a depthwise convolution with a cubic kernel."""

    def form(implementation: str | None) -> Callable[..., jax.Array]:
        return lambda x, kernel: depthwise_conv3d.depthwise_conv3d(x, kernel, implementation=implementation)

    def convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        # Channels last in memory, as the twin of the models holds them, under PyTorch's order of axes.
        x, weight = x.permute(0, 4, 1, 2, 3), kernel.permute(3, 0, 1, 2).unsqueeze(1)
        return F.conv3d(x, weight, padding=size // 2, groups=channels).permute(0, 2, 3, 4, 1)

    video = (batch, frames, side, side, channels)
    return OperatorCase(
        "depthwise convolution",
        f"{frames} x {side} x {side} x {channels}, kernel {size} x {size} x {size}",
        {"x": video, "kernel": (size, size, size, channels)},
        {"default": form(None), **{name: form(name) for name in depthwise_conv3d.IMPLEMENTATIONS}},
        "shifted",
        {"pytorch": convolve},
        math.prod(video) * size**3,
    )


def global_attention_case(batch: int, tokens: int, heads: int, channels: int = 64) -> OperatorCase:
    """Makes a case of attention among all tokens of a clip."""

    def form(implementation: str | None) -> Callable[..., jax.Array]:
        return lambda *qkv: global_attention.global_attention(*qkv, implementation=implementation)

    def fused(*qkv: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in qkv)).transpose(1, 2)

    def dense(*qkv: torch.Tensor) -> torch.Tensor:
        query, key, value = (x.transpose(1, 2) for x in qkv)
        weights = (query * channels**-0.5 @ key.transpose(-1, -2)).softmax(-1, dtype=torch.float32)
        return (weights.to(value.dtype) @ value).transpose(1, 2)

    shape = (batch, tokens, heads, channels)
    return OperatorCase(
        "global attention",
        f"{tokens} tokens, {heads} heads of {channels}",
        dict.fromkeys(("query", "key", "value"), shape),
        {"default": form(None), **{name: form(name) for name in global_attention.IMPLEMENTATIONS}},
        "stacked",
        {"pytorch": fused, "pytorch dense": dense},
        2 * batch * heads * tokens**2 * channels,
    )
