"""Layers on their own compute in floating point alone: as whole numbers, all their weights would be 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.convolution_block import ConvolutionBlock
from motion_vit.modules.depthwise_conv3d import DepthwiseConv3D
from motion_vit.modules.emim import Emim
from motion_vit.modules.frame_convolution import FrameConvolution
from motion_vit.modules.frame_depthwise_convolution import FrameDepthwiseConvolution
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.inverted_residual import ConvolutionUnit, InvertedResidual
from motion_vit.modules.linear import Linear
from motion_vit.modules.m2a import M2A
from motion_vit.modules.mlp import Mlp
from motion_vit.modules.motion_excitation import MotionExcitation, TemporalDifference
from motion_vit.modules.patch_embedding import PatchEmbedding, PatchProjection
from motion_vit.modules.residual_block import ResidualBlock, ResidualStem
from motion_vit.modules.space_time_blocks import DividedAttentionBlock, JointAttentionBlock
from motion_vit.modules.temporal_adaptive import TemporalAdaptive
from motion_vit.modules.token_embedding import TokenEmbedding

CLIPS, TOKENS = (1, 2, 4, 4, 8), (1, 1 + 2 * 4 * 4, 8)
ATTENTION = GlobalAttention(2)
WITHOUT_MODE = (Linear, FrameConvolution, DepthwiseConv3D, FrameDepthwiseConvolution, PatchProjection, PatchEmbedding)

LAYERS = [
    (Linear, (4,), CLIPS),
    (FrameConvolution, (4,), CLIPS),
    (DepthwiseConv3D, (3,), CLIPS),
    (FrameDepthwiseConvolution, (), CLIPS),
    (PatchProjection, (4, (1, 2, 2)), CLIPS),
    (PatchEmbedding, (4, (1, 2, 2)), CLIPS),
    (BatchNorm, (), CLIPS),
    (TemporalAdaptive, (), CLIPS),
    (MotionExcitation, (), CLIPS),
    (TemporalDifference, (), CLIPS),
    (M2A, (), CLIPS),
    (Mlp, (4,), CLIPS),
    (Emim, (2,), CLIPS),
    (GlobalAttention, (2,), CLIPS),
    (AttentionBlock, (ATTENTION,), CLIPS),
    (ConvolutionBlock, (), CLIPS),
    (ResidualBlock, (8,), CLIPS),
    (ResidualStem, (8,), CLIPS),
    (ConvolutionUnit, (8,), CLIPS),
    (InvertedResidual, (8,), CLIPS),
    (TokenEmbedding, (4, 2, 2, 2), CLIPS),
    (JointAttentionBlock, (ATTENTION, (2, 4, 4)), TOKENS),
    (DividedAttentionBlock, (ATTENTION, ATTENTION, (2, 4, 4)), TOKENS),
]


@pytest.mark.mistyped
@pytest.mark.parametrize(("layer", "arguments", "shape"), LAYERS)
@pytest.mark.parametrize("dtype", [jnp.int32, "bool", "float8_e4m3fn"])
def test_a_layer_computes_in_no_dtype_that_loses_its_weights(
    layer: type[nn.Module], arguments: tuple[object, ...], shape: tuple[int, ...], dtype: object
) -> None:
    mode = {} if layer in WITHOUT_MODE else {"train": False}
    with pytest.raises(ValueError, match=r"dtype is .*, but must be one of float32, bfloat16, float16"):
        jax.eval_shape(
            lambda: layer(*arguments, dtype=dtype).init(jax.random.key(0), np.zeros(shape, np.float32), **mode)
        )
