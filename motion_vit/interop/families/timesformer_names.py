"""The names of TimeSformer's weights here and in the authors' PyTorch code.

Source: `VisionTransformer` in `timesformer/models/vit.py` of facebookresearch/TimeSformer; its
released checkpoints put `model.` before its names. The weights that cost volumes add in the attention over time have no
counterpart there: they are called as in the EMIM authors' attention. The outputs of `qkv` are ordered query/key/value,
head, channel in both.
"""

from motion_vit.interop.families.name_rules import LINEAR, SAME, Layout, Rule

_FIELDS = {"block": r"\d+", "norm": "[12]", "layer": "[12]"}

_PATCHES = Layout(
    "[out, in, h, w] to [1, h, w, in, out]",
    lambda x: x.transpose(2, 3, 1, 0)[None],
    lambda x: x[0].transpose(3, 2, 0, 1),
)
_CLASS_TOKEN = Layout("[1, 1, channels] to [channels]", lambda x: x[0, 0], lambda x: x[None, None])
_EMBEDDING = Layout("[1, positions, channels] to [positions, channels]", lambda x: x[0], lambda x: x[None])

_BLOCK = "params/blocks/block{block}/", "blocks.{block}."
_ROOT = "params/", ""


def _rule(prefixes: tuple[str, str], path: str, name: str, layout: Layout = SAME) -> Rule:
    return Rule(prefixes[0] + path, prefixes[1] + name, layout, _FIELDS)


def _linear(prefixes: tuple[str, str], path: str, name: str, layout: Layout = LINEAR) -> tuple[Rule, Rule]:
    """A kernel and its bias."""
    kernel = _rule(prefixes, f"{path}/kernel", f"{name}.weight", layout)
    return kernel, _rule(prefixes, f"{path}/bias", f"{name}.bias")


def _norm(prefixes: tuple[str, str], path: str, name: str) -> tuple[Rule, Rule]:
    """Scale and bias of a normalisation."""
    return _rule(prefixes, f"{path}/scale", f"{name}.weight"), _rule(prefixes, f"{path}/bias", f"{name}.bias")


RULES: tuple[Rule, ...] = (
    _rule(_ROOT, "embedding/class_token", "cls_token", _CLASS_TOKEN),
    _rule(_ROOT, "embedding/position_embedding", "pos_embed", _EMBEDDING),
    _rule(_ROOT, "embedding/time_embedding", "time_embed", _EMBEDDING),
    *_linear(_ROOT, "embedding/proj", "patch_embed.proj", _PATCHES),
    *_norm(_BLOCK, "norm{norm}", "norm{norm}"),
    *_norm(_BLOCK, "temporal_norm", "temporal_norm1"),
    *_linear(_BLOCK, "attention/qkv", "attn.qkv"),
    *_linear(_BLOCK, "attention/proj", "attn.proj"),
    *_linear(_BLOCK, "temporal_attention/qkv", "temporal_attn.qkv"),
    *_linear(_BLOCK, "temporal_attention/proj", "temporal_attn.proj"),
    *_linear(_BLOCK, "temporal_fc", "temporal_fc"),
    _rule(_BLOCK, "temporal_attention/rpb", "temporal_attn.rpb"),
    *_linear(_BLOCK, "temporal_attention/motion/fc1", "temporal_attn.motion_conv.0"),
    *_linear(_BLOCK, "temporal_attention/motion/fc2", "temporal_attn.motion_conv.2"),
    *_linear(_BLOCK, "mlp/fc{layer}", "mlp.fc{layer}"),
    *_norm(_ROOT, "norm", "norm"),
    *_linear(_ROOT, "head", "head"),
)
"""The whole table, from the path here to the name there."""
