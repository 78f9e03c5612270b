"""Layers with heads refuse channels that the heads do not divide, instead of mixing tokens or frames."""

import functools

import jax
import numpy as np
import pytest
from flax import linen as nn

from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.emim import Emim
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.m2a import M2A
from motion_vit.modules.space_time_blocks import DividedAttentionBlock, JointAttentionBlock


def shape_of(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    run = functools.partial(module.init_with_output, train=False)
    output, _ = jax.eval_shape(run, jax.random.key(0), np.zeros(shape, np.float32))
    return output.shape


# The heads, and the channels that they do not divide. Of 4 frames of 3 x 3 tokens, 3 heads of 1 channel would make 4
# frame pairs or 48 tokens out of 4 channels.
@pytest.mark.parametrize(("heads", "channels"), [(3, 4), (2, 3), (8, 4)])
@pytest.mark.parametrize("keep_frames", [False, True])
def test_heads_that_do_not_divide_the_channels_are_refused(heads: int, channels: int, keep_frames: bool) -> None:
    message = rf"heads is {heads}, but must divide the channels of a token, {channels}"
    attention = GlobalAttention(heads)
    emim = Emim(heads, window=3, keep_frames=keep_frames)
    for layer in (attention, emim, AttentionBlock(attention), AttentionBlock(emim)):
        with pytest.raises(ValueError, match=message):
            shape_of(layer, (2, 4, 3, 3, channels))
    of_frames = GlobalAttention(1)
    for block in (
        JointAttentionBlock(attention, (4, 3, 3)),
        DividedAttentionBlock(attention, of_frames, (4, 3, 3)),
        DividedAttentionBlock(emim, of_frames, (4, 3, 3)),
        DividedAttentionBlock(of_frames, attention, (4, 3, 3)),
    ):
        with pytest.raises(ValueError, match=message):
            shape_of(block, (2, 1 + 4 * 3 * 3, channels))


@pytest.mark.parametrize("heads", [0, -1, -2])
def test_no_heads_or_fewer_are_refused(heads: int) -> None:
    with pytest.raises(ValueError, match=rf"heads is {heads}, but must divide the channels of a token, 4"):
        shape_of(GlobalAttention(heads), (2, 4, 3, 3, 4))
    with pytest.raises(ValueError, match=rf"heads of Emim is {heads}, but must be a whole number of 1 or more"):
        Emim(heads)


def test_heads_that_divide_the_channels_keep_the_shape() -> None:
    for layer in (GlobalAttention(4), Emim(4, window=3), AttentionBlock(Emim(2, window=3))):
        assert shape_of(layer, (2, 4, 3, 3, 4)) == (2, 4, 3, 3, 4)


@pytest.mark.parametrize(("sequences", "patches"), [(2, 36), (8, 9)])
def test_patches_pass_a_motion_module_as_clips_also_where_they_are_those_of_frames(
    sequences: int, patches: int
) -> None:
    block = JointAttentionBlock(GlobalAttention(2), (4, 3, 3), motion=M2A())
    assert shape_of(block, (sequences, 1 + patches, 8)) == (sequences, 1 + patches, 8)


@pytest.mark.parametrize(("sequences", "patches"), [(6, 9), (4, 18), (2, 72), (36, 1)])
def test_patches_of_other_clips_than_the_grid_are_refused(sequences: int, patches: int) -> None:
    block = JointAttentionBlock(GlobalAttention(2), (4, 3, 3), motion=M2A())
    with pytest.raises(ValueError, match=rf"4 of 3 x 3 patches, got {sequences} sequences of {patches} patches"):
        shape_of(block, (sequences, 1 + patches, 8))
