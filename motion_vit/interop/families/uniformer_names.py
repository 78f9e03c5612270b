"""The names of UniFormer's weights here and in the authors' PyTorch code, with and without EMIM.

Sources: `slowfast/models/uniformer.py` of Sense-X/UniFormer and of PeiqinZhuang/EMIM. The outputs of `qkv` are ordered
query/key/value, head, channel in both.
"""

from motion_vit.interop.families.name_rules import CONVOLUTION, DEPTHWISE, LINEAR, POINTWISE, SAME, Layout, Rule

_FIELDS = {
    "stage": "[1-4]",
    "convolution_stage": "[12]",
    "attention_stage": "[34]",
    "block": r"\d+",
    "norm": "[12]",
    "layer": "[12]",
}

_CONVOLUTION_BLOCK = "params/stage{convolution_stage}/block{block}/", "blocks{convolution_stage}.{block}."
_ATTENTION_BLOCK = "params/stage{attention_stage}/block{block}/", "blocks{attention_stage}.{block}."
_BLOCK = "params/stage{stage}/block{block}/", "blocks{stage}.{block}."
_STATISTICS = "batch_stats/stage{convolution_stage}/block{block}/", "blocks{convolution_stage}.{block}."
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


def _statistics(prefixes: tuple[str, str], path: str, name: str) -> tuple[Rule, Rule]:
    """Running statistics of a BatchNorm."""
    mean = _rule(prefixes, f"{path}/mean", f"{name}.running_mean")
    return mean, _rule(prefixes, f"{path}/var", f"{name}.running_var")


RULES: tuple[Rule, ...] = (
    *_linear(_ROOT, "patch_embed{stage}/proj", "patch_embed{stage}.proj", CONVOLUTION),
    *_norm(_ROOT, "patch_embed{stage}/norm", "patch_embed{stage}.norm"),
    *_linear(_BLOCK, "position", "pos_embed", DEPTHWISE),
    *_norm(_BLOCK, "norm{norm}", "norm{norm}"),
    *_statistics(_STATISTICS, "norm{norm}", "norm{norm}"),
    *_linear(_CONVOLUTION_BLOCK, "conv{layer}", "conv{layer}", POINTWISE),
    *_linear(_CONVOLUTION_BLOCK, "depthwise", "attn", DEPTHWISE),
    *_linear(_CONVOLUTION_BLOCK, "mlp/fc{layer}", "mlp.fc{layer}", POINTWISE),
    *_linear(_ATTENTION_BLOCK, "mlp/fc{layer}", "mlp.fc{layer}"),
    *_linear(_ATTENTION_BLOCK, "attention/qkv", "attn.qkv"),
    *_linear(_ATTENTION_BLOCK, "attention/proj", "attn.proj"),
    _rule(_ATTENTION_BLOCK, "attention/rpb", "attn.rpb"),
    *_linear(_ATTENTION_BLOCK, "attention/motion/fc1", "attn.motion_conv.0"),
    *_linear(_ATTENTION_BLOCK, "attention/motion/fc2", "attn.motion_conv.2"),
    _rule(_ATTENTION_BLOCK, "layer_scale{layer}", "gamma_{layer}"),
    *_norm(_ROOT, "norm", "norm"),
    *_statistics(("batch_stats/", ""), "norm", "norm"),
    *_linear(_ROOT, "head", "head"),
)
"""The whole table, from the path here to the name there."""
