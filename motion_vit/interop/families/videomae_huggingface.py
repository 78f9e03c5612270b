"""VideoMAE as transformers stores it: `VideoMAEForVideoClassification`, and `VideoMAEForPreTraining`."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from motion_vit.interop.families.huggingface import HuggingFaceForm, flag, mlp_ratio, only, real_number, whole_number
from motion_vit.models.videomae import VideoMAE

_HEAD_EPSILON = 1e-5
"""What `fc_norm` there adds to the variance, whatever `layer_norm_eps` is."""

_NAMES = (
    ("patch_embed.proj.", "videomae.embeddings.patch_embeddings.projection."),
    ("head.", "classifier."),
)
_BLOCK_NAMES = (
    ("attn.q_bias", "attention.attention.q_bias"),
    ("attn.v_bias", "attention.attention.v_bias"),
    ("attn.proj.", "attention.output.dense."),
    ("mlp.fc1.", "intermediate.dense."),
    ("mlp.fc2.", "output.dense."),
    ("norm1.", "layernorm_before."),
    ("norm2.", "layernorm_after."),
)
_JOINED = "attn.qkv.weight"
_PARTS = ("query", "key", "value")


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    only(config, "hidden_act", "gelu")
    only(config, "num_channels", 3)
    if "VideoMAEForVideoClassification" in (config.get("architectures") or ()):
        only(config, "use_mean_pooling", True)
    width = whole_number(config, "hidden_size", 768)
    return {
        "frames": whole_number(config, "num_frames", 16),
        "image_size": whole_number(config, "image_size", 224),
        "tubelet_frames": whole_number(config, "tubelet_size", 2),
        "patch_size": whole_number(config, "patch_size", 16),
        "width": width,
        "depth": whole_number(config, "num_hidden_layers", 12),
        "heads": whole_number(config, "num_attention_heads", 12),
        # transformers calls it one or the other, by its version.
        "qkv_bias": flag(config, "qv_bias", flag(config, "qkv_bias", True)),
        "mlp_ratio": mlp_ratio(whole_number(config, "intermediate_size", 3072), width),
        "norm_epsilon": real_number(config, "layer_norm_eps", 1e-12),
        "head_norm_epsilon": _HEAD_EPSILON,
    }


def _config(model: VideoMAE) -> dict[str, Any]:
    return {
        "num_frames": model.frames,
        "image_size": model.image_size,
        "tubelet_size": model.tubelet_frames,
        "patch_size": model.patch_size,
        "num_channels": 3,
        "hidden_size": model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "intermediate_size": int(model.width * model.mlp_ratio),
        "layer_norm_eps": model.norm_epsilon,
        "hidden_act": "gelu",
        "qv_bias": model.qkv_bias,
        "qkv_bias": model.qkv_bias,
        "use_mean_pooling": True,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
    }


def _inexpressible(model: VideoMAE) -> str:
    if model.cost_volume_stages():
        return "cost volumes"
    if model.motion_module != "none":
        return f"the motion module {model.motion_module}"
    if model.layer_scale is not None:
        return "layer scale"
    return "" if model.positions == "sinusoid" else "learned positions"


def _there(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames weights from the authors' names to those of transformers, and splits queries, keys and values."""
    renamed = {}
    for name, array in weights.items():
        block = re.match(r"blocks\.(\d+)\.", name)
        if not block:
            renamed[_replaced(name, _NAMES)] = array
            continue
        layer, inner = f"videomae.encoder.layer.{block[1]}.", name[block.end() :]
        if inner == _JOINED:
            for part, values in zip(_PARTS, np.split(array, len(_PARTS)), strict=True):
                renamed[f"{layer}attention.attention.{part}.weight"] = np.ascontiguousarray(values)
        else:
            renamed[layer + _replaced(inner, _BLOCK_NAMES)] = array
    return renamed


def _replaced(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for beginning, replacement in pairs:
        if name.startswith(beginning):
            return replacement + name[len(beginning) :]
    return name


VIDEOMAE_HUGGING_FACE = HuggingFaceForm(
    model_type="videomae",
    classifier="VideoMAEForVideoClassification",
    processor="VideoMAEImageProcessor",
    options=_options,
    config=_config,
    inexpressible=_inexpressible,
    names=_there,
    without_classifier=("head", "norm"),
)
"""VideoMAE in transformers."""
