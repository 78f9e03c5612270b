"""Explicit motion information mining (EMIM): attention layers that see where each patch goes.

Source: EMIM (arXiv 2510.18705, section 3); `Attention` with `attn_type="extra_attn64"` in the authors'
`slowfast/models/uniformer.py`. Their released CUDA kernels compute half of each head's channels only; this layer
computes all, as the paper defines it.
"""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from motion_vit.modules import initializers
from motion_vit.modules.attention_heads import channels_of_head
from motion_vit.modules.computation_dtype import computation_dtype
from motion_vit.modules.layer_checks import check_choices, check_counts, check_features
from motion_vit.modules.linear import Linear, LinearWeights
from motion_vit.modules.query_key_value import Biases, QueryKeyValue
from motion_vit.ops import cost_volume, frame_pairs
from motion_vit.ops.kept_activations import ATTENTION_OUTPUT
from motion_vit.ops.motion_branch import MotionBranch

Neighbours = Literal["next", "both"]

COST_VOLUMES = "cost_volumes"
"""The collection that holds nothing but cost volumes, for losses on them."""

_READERS = ("intermediates", COST_VOLUMES)


class MotionMlp(nn.Module):
    """Parameters of the motion branch: two linear layers from a `K * K` affinity to the channels of a head.

    The last layer starts at zero, so that a fresh EMIM layer is plain local attention and can take the place of
    attention in a pretrained model.

    Attributes:
      displacements: `K * K`.
      features: channels of a head.
    """

    displacements: int
    features: int

    @nn.compact
    def __call__(self) -> MotionBranch:
        """Returns the weights; the operator applies them, so that a fused kernel can."""
        hidden = 4 * self.displacements
        hidden_kernel, hidden_bias = LinearWeights(
            self.displacements, hidden, nn.initializers.xavier_uniform(), name="fc1"
        )()
        output_kernel, output_bias = LinearWeights(hidden, self.features, nn.initializers.zeros, name="fc2")()
        return MotionBranch(hidden_kernel, hidden_bias, output_kernel, output_bias)


class Emim(nn.Module):
    """Cost-volume attention between each frame and the next.

    When the collection `intermediates` or `cost_volumes` is mutable, it stores `cost_volume` `[b, n, h, w, heads, K *
    K]`. Entry `p = u * K + v` of pair `n` is the affinity of the patch at row `h`, column `w` of frame `n` with the
    patch at row `h + u - K // 2`, column `w + v - K // 2` of frame `n + frame_offset`. It includes the position bias
    (constant to the gradient) and precedes the softmax. With both neighbours, `cost_volume_backward` holds the pairs of
    frame `n + frame_offset` with frame `n`.

    Attributes:
      heads: number of heads; divides the channels.
      window: side `K` of the neighbourhood, odd.
      motion_branch: whether the layer has a motion branch (ablation).
      position_bias: whether each displacement has a learned bias (ablation).
      motion_input: input of the motion branch, the raw "affinity" or its "softmax" (ablation).
      frame_offset: distance to the key frame: 1, or 2 for the authors' stride-2 pairing.
      neighbours: "next" pairs each frame with a later one; "both" averages that with the same layer applied to the
        earlier one. The paper names this ablation, but the released code lacks it: the average with shared weights is
        this library's reading.
      keep_frames: compute as many pairs as there are frames, so that frames split over devices stay in place; the
        results are the same, for a little more arithmetic (see `motion_vit.ops.frame_pairs`).
      dropout: probability of dropping a feature of the output in training.
      kernel_init: initialiser of the kernels of `qkv` and `proj`.
      biases: which of queries, keys and values have one; see `motion_vit.modules.query_key_value.Biases`.
      dtype: dtype of the computation; affinity and softmax are float32.
      implementation: see `motion_vit.ops.cost_volume.cost_volume_attention`.
      output_init: initialiser of the kernel of `proj`; None for `kernel_init`.
    """

    heads: int
    window: int = 7
    motion_branch: bool = True
    position_bias: bool = True
    motion_input: cost_volume.MotionInput = "affinity"
    frame_offset: int = 1
    neighbours: Neighbours = "next"
    keep_frames: bool = False
    dropout: float = 0.0
    kernel_init: nn.initializers.Initializer = initializers.linear_kernel
    biases: Biases = "all"
    dtype: DTypeLike = jnp.float32
    implementation: str | None = None
    output_init: nn.initializers.Initializer | None = None

    def __post_init__(self) -> None:
        """Checks the options."""
        check_choices(self, {"motion_input": cost_volume.MotionInput, "neighbours": Neighbours, "biases": Biases})
        check_counts(self, "heads", "frame_offset")
        cost_volume.check_window(self.window)
        cost_volume.check_implementation(self.implementation)
        computation_dtype(self.dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b t h w c"], *, train: bool = False) -> Float[Array, "b t h w c"]:
        """Attends; includes the output projection, not the residual.

        Raises:
          ValueError: `x` is not of the shape of clips or not of floating point numbers, the heads do not divide the
            channels, or the clip has fewer than `frame_offset + 1` frames.
        """
        check_features(x)
        batch, frames, height, width, channels = x.shape
        head_channels = channels_of_head(channels, self.heads)
        # On a TPU rows of tokens are padded to whole tiles: here, once, instead of in queries, keys and values.
        x = x.reshape(batch, frames, height * width, channels)
        qkv = QueryKeyValue(self.biases, self.kernel_init, self.dtype, name="qkv")(x)
        query, key, value = (qkv[..., start : start + channels] for start in range(0, 3 * channels, channels))
        bias_shape = (self.heads, self.window, self.window)
        rpb = self.param("rpb", initializers.linear_kernel, bias_shape) if self.position_bias else None
        motion = MotionMlp(self.window**2, head_channels, name="motion")() if self.motion_branch else None
        project = Linear(channels, self.output_init or self.kernel_init, dtype=self.dtype, name="proj")

        def attend(offset: int, name: str) -> Float[Array, "b t tokens c"]:
            pair = frame_pairs.pair_all_frames if self.keep_frames else frame_pairs.pair_frames
            # Heads get an axis of their own last: what is cut by then would be padded, too.
            queries, keys, values = (
                part.reshape(batch, part.shape[1], height, width, self.heads, head_channels)
                for part in pair(query, key, value, offset=offset)
            )
            readers = [collection for collection in _READERS if self.is_mutable_collection(collection)]
            if readers and not self.is_initializing():
                # The bias is the same at every place: a loss that could change it would learn it instead of motion.
                bias = None if rpb is None else lax.stop_gradient(rpb)
                volume = cost_volume.cost_volume(
                    queries, keys, bias, window=self.window, implementation=self.implementation
                )
                for collection in readers:
                    self.sow(collection, name, _only_pairs(volume, offset) if self.keep_frames else volume)
            output = cost_volume.cost_volume_attention(
                queries,
                keys,
                values,
                rpb,
                motion,
                window=self.window,
                motion_input=self.motion_input,
                implementation=self.implementation,
            )
            output = output.reshape(batch, output.shape[1], height * width, channels)
            output = checkpoint_name(output, ATTENTION_OUTPUT)
            # Projecting the pairs before the last one is repeated saves that frame's share of the work.
            output = project(output)
            repeat = frame_pairs.repeat_nearest_pair if self.keep_frames else frame_pairs.repeat_last_pair
            return repeat(output, offset=offset)

        offset = int(self.frame_offset)  # of an unsigned number of NumPy there is no negative
        x = attend(offset, "cost_volume")
        if self.neighbours == "both":
            x = (x + attend(-offset, "cost_volume_backward")) / 2
        x = x.reshape(batch, frames, height, width, channels)
        return nn.Dropout(self.dropout)(x, deterministic=not train)

    def multiply_adds(self, x: Float[Array, "b t h w c"]) -> int:
        """Counts the multiply-adds of window attention and motion branch on an input of this shape.

        As the paper counts them, for every frame; the linear layers `qkv` and `proj` count their own.
        """
        tokens, displacements = x.size // x.shape[-1], self.window**2
        count = 2 * tokens * displacements * x.shape[-1]
        if self.motion_branch:
            count += tokens * self.heads * 4 * displacements * (displacements + x.shape[-1] // self.heads)
        return count * (2 if self.neighbours == "both" else 1)


def _only_pairs(frames: Float[Array, "b t *rest"], offset: int) -> Float[Array, "b n *rest"]:
    """Selects the entries that belong to pairs from the output of `pair_all_frames`."""
    return frames[:, :-offset] if offset > 0 else frames[:, -offset:]
