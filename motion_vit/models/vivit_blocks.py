"""The blocks of ViViT, and what their layers share."""

from typing import Any

from flax import linen as nn

from motion_vit.models.cost_volume_backbone import make_emim
from motion_vit.models.vivit_options import ViViTOptions
from motion_vit.modules import initializers
from motion_vit.modules.attention_block import AttentionBlock
from motion_vit.modules.emim import Emim
from motion_vit.modules.factorised_attention import FactorisedAttention
from motion_vit.modules.global_attention import GlobalAttention
from motion_vit.modules.motion_module import make_motion_module
from motion_vit.modules.space_time_blocks import FactorisedAttentionBlock, JointAttentionBlock


def make_block(model: ViViTOptions, grid: tuple[int, int, int], index: int, **binding: Any) -> nn.Module:
    """Makes a block.

    Args:
      model: whose block it is.
      grid: frames, rows and columns of the tubelets.
      index: of the block, from 0.
      **binding: Linen's `name` and `parent`.

    Returns:
      The block, of tokens `[b, n, c]` where those of a clip or frame are one sequence, else `[b, t, h, w, c]`.
    """
    shared = of_every_block(model) | binding
    attention: GlobalAttention | Emim | FactorisedAttention
    if model.attention in ("joint", "factorised_encoder"):
        attention = _make_attention(model) if model.placement[index % 2] == "g" else _make_emim(model)
        if not model.has_clip_output:
            class_tokens = int(model.pooling == "class_token")
            motion = _make_motion(model)
            return JointAttentionBlock(attention, grid=grid, class_tokens=class_tokens, motion=motion, **shared)
    elif model.attention == "factorised_self_attention":
        temporal = _make_attention(model) if model.temporal_attention == "global" else _make_emim(model)
        return FactorisedAttentionBlock(
            temporal,
            _make_attention(model),
            time_first=model.attention_order == "time_space",
            motion=_make_motion(model),
            **shared,
        )
    else:
        attention = FactorisedAttention(implementation=model.attention_implementation, **of_every_attention(model))
    return AttentionBlock(
        attention,
        position_encoding=False,
        motion_module=model.motion_module,
        batch_norm_groups=model.batch_norm_groups,
        **shared,
    )


def make_temporal_block(
    model: ViViTOptions, grid: tuple[int, int, int], index: int, **binding: Any
) -> JointAttentionBlock:
    """Makes a block of the temporal encoder, which are all alike.

    Args:
      model: whose block it is.
      grid: frames, tokens of a frame, and 1.
      index: of the block, from 0.
      **binding: Linen's `name` and `parent`.
    """
    class_tokens = int(model.pooling == "class_token")
    shared = of_every_block(model) | binding
    return JointAttentionBlock(_make_attention(model), grid=grid, class_tokens=class_tokens, **shared)


def of_every_block(model: ViViTOptions) -> dict[str, Any]:
    """Returns the fields that all blocks share, by name."""
    published = model.initialization == "published"
    return {
        "mlp_ratio": model.mlp_ratio,
        "dropout": model.dropout,
        "kernel_init": initializers.xavier_kernel if published else initializers.fan_in_kernel,
        "approximate_gelu": True,
        "dtype": model.dtype,
    }


def of_every_attention(model: ViViTOptions) -> dict[str, Any]:
    """Returns the fields that all layers of attention share, by name."""
    published = model.initialization == "published"
    return {
        "heads": model.heads,
        "dropout": model.dropout,
        "kernel_init": initializers.xavier_attention_kernel if published else initializers.fan_in_kernel,
        "dtype": model.dtype,
        "parent": None,  # adopted by the block, under the name of the field that holds it
    }


def _make_attention(model: ViViTOptions) -> GlobalAttention:
    return GlobalAttention(implementation=model.attention_implementation, **of_every_attention(model))


def _make_emim(model: ViViTOptions) -> Emim:
    return make_emim(model, keep_frames=model.frame_axis is not None, **of_every_attention(model))


def _make_motion(model: ViViTOptions) -> nn.Module | None:
    if model.motion_module == "none":
        return None
    return make_motion_module(
        model.motion_module, batch_norm_groups=model.batch_norm_groups, dtype=model.dtype, parent=None
    )
