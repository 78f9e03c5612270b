"""The names and layouts of ViViT's weights in its authors' Flax code, and those of the ViTs of images they start from.

Sources: `projects/vivit/model.py` of google-research/scenic; `models.py` of google-research/vision_transformer, whose
blocks number their layers otherwise.
"""

import functools

from motion_vit.interop.families.foreign_names import ForeignName
from motion_vit.interop.families.layouts import CONVOLUTION, FRAME_CONVOLUTION, LINEAR, SAME, Layout

_NUMBERED = {
    "norm1": "LayerNorm_0",
    "attn": "MultiHeadDotProductAttention_0",
    "norm2": "LayerNorm_1",
    "mlp": "MlpBlock_0",
}
_OF_IMAGES = {
    "norm1": "LayerNorm_0",
    "attn": "MultiHeadDotProductAttention_1",
    "norm2": "LayerNorm_2",
    "mlp": "MlpBlock_3",
}
_TWO_ATTENTIONS = {
    "norm1": "LayerNorm_space",
    "attn": "MultiHeadDotProductAttention_space",
    "temporal_norm1": "LayerNorm_time",
    "temporal_attn": "MultiHeadDotProductAttention_time",
    "norm2": "LayerNorm_mlp",
    "mlp": "MlpBlock",
}

_SCHEMES = ("joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")


def scenic_names(attention: str, heads: int) -> tuple[ForeignName, ...]:
    """Makes the table of one of the four models.

    Args:
      attention: one of `motion_vit.models.vivit_options.AttentionScheme`.
      heads: number of heads, an axis of Flax's kernels.
    """
    if attention == "factorised_encoder":
        return (
            *_outside(),
            *_encoder("SpatialTransformer", "cls_SpatialTransformer", "", _NUMBERED, heads),
            *_encoder("TemporalTransformer", "cls_TemporalTransformer", "temporal_", _NUMBERED, heads),
        )
    layers = _TWO_ATTENTIONS if attention == "factorised_self_attention" else _NUMBERED
    return *_outside(), *_encoder("Transformer", "cls", "", layers, heads)


def known_scenic_names() -> tuple[ForeignName, ...]:
    """Makes the table of all four models and of ViTs, for weights that come in."""
    tables = [scenic_names(attention, heads=1) for attention in _SCHEMES]
    of_images = (
        ForeignName("embedding/kernel", "patch_embed.proj.weight", FRAME_CONVOLUTION, 4),
        *_layer("head", "head"),
        *_encoder("Transformer", "cls", "", _OF_IMAGES, heads=1),
    )
    return tuple(dict.fromkeys(entry for table in (*tables, of_images) for entry in table))


def _outside() -> tuple[ForeignName, ...]:
    return (
        ForeignName("embedding/kernel", "patch_embed.proj.weight", CONVOLUTION, 5),
        ForeignName("embedding/bias", "patch_embed.proj.bias"),
        *_layer("output_projection", "head"),
    )


def _encoder(scenic: str, class_token: str, own: str, layers: dict[str, str], heads: int) -> tuple[ForeignName, ...]:
    """Makes the names of one transformer, which begin with `own` in the family's scheme."""
    entries = [
        ForeignName(class_token, f"{own}cls_token"),
        ForeignName(f"{scenic}/posembed_input/pos_embedding", f"{own}pos_embed"),
        *_norm(f"{scenic}/encoder_norm", f"{own}norm"),
    ]
    for name, layer in layers.items():
        inside, outside = f"{own}blocks.{{n}}.{name}", f"{scenic}/encoderblock_{{n}}/{layer}"
        if name == "mlp":
            entries += _layer(f"{outside}/Dense_0", f"{inside}.fc1") + _layer(f"{outside}/Dense_1", f"{inside}.fc2")
        elif name.endswith("attn"):
            entries += _attention(outside, inside, heads)
        else:
            entries += _norm(outside, inside)
    return tuple(entries)


def _attention(scenic: str, own: str, heads: int) -> tuple[ForeignName, ...]:
    entries = [
        ForeignName(f"{scenic}/out/kernel", f"{own}.proj.weight", _from_heads(heads), 3),
        ForeignName(f"{scenic}/out/bias", f"{own}.proj.bias"),
    ]
    for part in ("query", "key", "value"):
        entries.append(ForeignName(f"{scenic}/{part}/kernel", f"{own}.{part}.weight", _to_heads(heads), 3))
        entries.append(ForeignName(f"{scenic}/{part}/bias", f"{own}.{part}.bias", _bias_of_heads(heads), 2))
    return tuple(entries)


def _layer(scenic: str, own: str) -> tuple[ForeignName, ForeignName]:
    return (
        ForeignName(f"{scenic}/kernel", f"{own}.weight", LINEAR, 2),
        ForeignName(f"{scenic}/bias", f"{own}.bias", SAME, 1),
    )


def _norm(scenic: str, own: str) -> tuple[ForeignName, ForeignName]:
    return ForeignName(f"{scenic}/scale", f"{own}.weight"), ForeignName(f"{scenic}/bias", f"{own}.bias")


@functools.cache
def _to_heads(heads: int) -> Layout:
    return Layout(
        "[out, in] to [in, heads, channels]",
        lambda x: x.transpose(1, 0).reshape(x.shape[1], heads, -1),
        lambda x: x.reshape(x.shape[0], -1).transpose(1, 0),
    )


@functools.cache
def _bias_of_heads(heads: int) -> Layout:
    return Layout("[out] to [heads, channels]", lambda x: x.reshape(heads, -1), lambda x: x.reshape(-1))


@functools.cache
def _from_heads(heads: int) -> Layout:
    return Layout(
        "[out, in] to [heads, channels, out]",
        lambda x: x.transpose(1, 0).reshape(heads, -1, x.shape[0]),
        lambda x: x.reshape(-1, x.shape[-1]).transpose(1, 0),
    )
