"""How the authors' PyTorch code starts its weights."""

from flax import linen as nn

linear_kernel = nn.initializers.normal(stddev=0.02)
"""Kernels of linear layers and the position bias: `trunc_normal_(std=.02)`, which cuts at 2.0, a hundred deviations."""

convolution_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Kernels of convolutions, 1x1x1 ones included: uniform in `+-1 / sqrt(fan_in)`, PyTorch's default."""

depthwise_kernel = nn.initializers.variance_scaling(
    1 / 3, "fan_in", "uniform", in_axis=(0, 1, 2), out_axis=-1, batch_axis=()
)
"""Kernels `[kt, kh, kw, channels]` of depthwise convolutions, where each channel has its own fan-in of `kt * kh *
kw`."""

residual_kernel = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""Kernels of ResNet's convolutions: torchvision's `kaiming_normal_(mode="fan_out", nonlinearity="relu")`."""
