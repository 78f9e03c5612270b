"""Initializers: those of the authors' PyTorch code, and kernels of linear layers for networks of any width."""

import functools
from collections.abc import Mapping
from typing import Literal

import jax
from flax import linen as nn

Initialization = Literal["published", "fan_in"]
"""How kernels of linear layers start: "published" as the authors' code has it, "fan_in" by the number of inputs."""

# Flax calls the initializer of every parameter whenever a network is traced, if only for the shape. Those of the many
# kernels are traced once for all of a shape.
_traced_once = functools.partial(jax.jit, static_argnums=(1, 2))

linear_kernel = _traced_once(nn.initializers.normal(stddev=0.02))
"""Kernels of linear layers, embeddings and the position bias: `trunc_normal_(std=.02)`, which cuts at 2.0, a hundred
deviations. A kernel of 768 inputs so keeps 0.55 of the scale of what it reads, one of 32 inputs 0.11: in narrow
networks, affinities start so close to zero that attention is uniform and does not learn for hundreds of steps."""

fan_in_kernel = _traced_once(nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal"))
"""Kernels of linear layers of any width: outputs have the variance of the inputs."""

LINEAR_KERNELS: Mapping[Initialization, nn.initializers.Initializer] = {
    "published": linear_kernel,
    "fan_in": fan_in_kernel,
}
"""Kernels of the linear layers of transformer blocks and of the head, by the model's option `initialization`."""

xavier_kernel = _traced_once(nn.initializers.xavier_uniform())
"""Kernels of ViViT's perceptrons, Flax's default there."""

xavier_attention_kernel = _traced_once(nn.initializers.variance_scaling(1.0, "fan_in", "uniform"))
"""Kernels of ViViT's attention, `xavier_uniform` of queries, keys and values each: they are as many as the inputs, and
so are the outputs of the projection."""

small_head_kernel = _traced_once(nn.initializers.normal(stddev=0.02 * 0.001))
"""The kernel of VideoMAE's head, `init_scale` times the other linear layers': it starts with equal classes."""

convolution_kernel = _traced_once(nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"))
"""Kernels of convolutions, 1x1x1 ones included: uniform in `+-1 / sqrt(fan_in)`, PyTorch's default."""

depthwise_kernel = _traced_once(
    nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=(0, 1, 2), out_axis=-1, batch_axis=())
)
"""Kernels `[kt, kh, kw, channels]` of depthwise convolutions, where each channel has its own fan-in of `kt * kh *
kw`."""

residual_kernel = _traced_once(nn.initializers.variance_scaling(2.0, "fan_out", "normal"))
"""Kernels of ResNet's convolutions: torchvision's `kaiming_normal_(mode="fan_out", nonlinearity="relu")`."""

residual_depthwise_kernel = _traced_once(
    nn.initializers.variance_scaling(2.0, "fan_out", "normal", in_axis=(), out_axis=-1)
)
"""Kernels `[kt, kh, kw, channels]` of depthwise convolutions in residual networks, as their authors' codes have it:
normal with the variance `2 / (kt * kh * kw * channels)`. PyTorch's `kaiming_normal_(mode="fan_out")` counts all
channels, not the one that each input reaches."""
