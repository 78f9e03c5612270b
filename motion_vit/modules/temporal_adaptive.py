"""Temporal adaptive aggregation (TAM): a convolution over time whose kernel depends on the clip."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.ops.frame_pairs import shift_frames

Clips = Float[Array, "b t h w c"]
Means = Float[Array, "b t c"]


class TemporalAdaptive(nn.Module):
    """Aggregates neighbouring frames by kernels that each channel of each clip computes from its features.

    From the means `p[t]` over the positions of the frames, a perceptron over all `t` makes one kernel of `kernel_size`
    frames per channel (a softmax), and a convolution over time a gate per frame and channel (a sigmoid). The output is
    the gated input, convolved over time with that kernel (arXiv 2005.06803; `TAM` in `ops/sota.py` of gebob19/M2A,
    without TAM's reduction). The perceptron only fits clips of one length.

    Attributes:
      kernel_size: frames of the kernels, odd.
      batch_norm_groups: see `motion_vit.modules.batch_norm.BatchNorm`.
      dtype: dtype of the computation; kernels and gates are float32.
    """

    kernel_size: int = 3
    batch_norm_groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Clips, *, train: bool = False) -> Clips:
        """Aggregates; `train` as for BatchNorm.

        Raises:
          ValueError: the clip has another length than the parameters were made for.
        """
        means = jnp.mean(x.astype(jnp.float32), axis=(2, 3))
        # Slices and expanded axes instead of indices, of which symbolic batches make gathers.
        dtype = computation_dtype(self.dtype)
        gates = jnp.expand_dims(self._gates(means, train), (2, 3)).astype(dtype)
        kernel = jnp.expand_dims(self._kernels(means, train), (2, 3)).astype(dtype)
        gated = x.astype(dtype) * gates
        reach = self.kernel_size // 2
        taps = [
            shift_frames(gated, tap - reach) * lax.slice_in_dim(kernel, tap, tap + 1, axis=1)
            for tap in range(self.kernel_size)
        ]
        return sum(taps[1:], taps[0])

    def _kernels(self, means: Means, train: bool) -> Float[Array, "b k c"]:
        """Applies the perceptron over time, for every channel of every clip separately."""
        frames = means.shape[1]
        shape = (frames, 2 * frames)
        if self.has_variable("params", "kernel_fc1"):
            known = jnp.shape(nn.meta.unbox(self.get_variable("params", "kernel_fc1")))
            if known != shape:
                raise ValueError(
                    f"the parameters of TAM are for clips of {known[0]} frames, got {frames}: its perceptron over time "
                    "fits one length alone"
                )
        hidden_kernel = self.param("kernel_fc1", initializers.convolution_kernel, shape)
        output_kernel = self.param("kernel_fc2", initializers.convolution_kernel, (2 * frames, self.kernel_size))
        hidden = jnp.swapaxes(means, 1, 2) @ hidden_kernel
        hidden = nn.relu(BatchNorm(groups=self.batch_norm_groups, name="kernel_norm")(hidden, train=train))
        return jnp.swapaxes(jax.nn.softmax(hidden @ output_kernel, axis=-1), 1, 2)

    def _gates(self, means: Means, train: bool) -> Means:
        """Applies the convolution over time, to all channels together."""
        channels = means.shape[-1]
        kernel = self.param("gate_conv1", initializers.convolution_kernel, (self.kernel_size, channels, channels))
        output_kernel = self.param("gate_conv2", initializers.convolution_kernel, (channels, channels))
        reach = self.kernel_size // 2
        taps = [shift_frames(means, tap - reach) @ kernel[tap] for tap in range(self.kernel_size)]
        hidden = BatchNorm(groups=self.batch_norm_groups, name="gate_norm")(sum(taps[1:], taps[0]), train=train)
        return nn.sigmoid(nn.relu(hidden) @ output_kernel)

    def multiply_adds(self, x: Clips) -> int:
        """Counts the multiply-adds of one call on an input of this shape."""
        batch, frames, _, _, channels = x.shape
        kernels = batch * channels * 2 * frames * (frames + self.kernel_size)
        gates = batch * frames * channels * channels * (self.kernel_size + 1)
        return kernels + gates + x.size * self.kernel_size
