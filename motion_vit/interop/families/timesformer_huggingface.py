"""TimeSformer as transformers stores it: `TimesformerForVideoClassification`."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from motion_vit.interop.families.huggingface import HuggingFaceForm, flag, mlp_ratio, only, real_number, whole_number
from motion_vit.interop.files.stored_tensor import StoredTensor
from motion_vit.models.timesformer import TimeSformer

_PREFIX = "timesformer."
_LAYER = "encoder.layer."

_NAMES = (
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.time_embeddings", "time_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("layernorm", "norm"),
)
"""Beginnings of names outside of the blocks, without the prefix, there and in the authors' code."""

_BLOCK_NAMES = (
    ("attention.attention.qkv", "attn.qkv"),
    ("attention.output.dense", "attn.proj"),
    ("temporal_attention.attention.qkv", "temporal_attn.qkv"),
    ("temporal_attention.output.dense", "temporal_attn.proj"),
    ("temporal_dense", "temporal_fc"),
    ("temporal_layernorm", "temporal_norm1"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
)
"""The same in a block."""

_CLASSIFIER = ("classifier", "head")


def timesformer_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Gives weights in the names of transformers those that the authors have for them.

    Args:
      tensors: weights of the source by name.

    Returns:
      Weights by name. Others keep theirs.
    """
    if not any(name.removeprefix(_PREFIX).startswith(_LAYER) for name in tensors):
        return dict(tensors)
    return {_authors_name(name): tensor for name, tensor in tensors.items()}


def _authors_name(name: str) -> str:
    name = name.removeprefix(_PREFIX)
    block = re.match(r"encoder\.layer\.(\d+)\.", name)
    if block:
        return f"blocks.{block[1]}.{_renamed(name[block.end() :], _BLOCK_NAMES)}"
    return _renamed(name, (*_NAMES, _CLASSIFIER))


def _renamed(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Replaces the first beginning of a name that fits, up to a dot or the end."""
    for beginning, replacement in pairs:
        if name == beginning or name.startswith(f"{beginning}."):
            return replacement + name[len(beginning) :]
    return name


def _there(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames weights from the authors' names to those of transformers."""
    return {_name_there(name): array for name, array in weights.items()}


def _name_there(name: str) -> str:
    block = re.match(r"blocks\.(\d+)\.", name)
    if block:
        return f"{_PREFIX}{_LAYER}{block[1]}.{_renamed(name[block.end() :], _reversed(_BLOCK_NAMES))}"
    if name.startswith(f"{_CLASSIFIER[1]}."):
        return _renamed(name, _reversed((_CLASSIFIER,)))
    return _PREFIX + _renamed(name, _reversed(_NAMES))


def _reversed(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((ours, theirs) for theirs, ours in pairs)


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    only(config, "hidden_act", "gelu")
    only(config, "num_channels", 3)
    width = whole_number(config, "hidden_size", 768)
    return {
        "frames": whole_number(config, "num_frames", 8),
        "image_size": whole_number(config, "image_size", 224),
        "patch_size": whole_number(config, "patch_size", 16),
        "width": width,
        "depth": whole_number(config, "num_hidden_layers", 12),
        "heads": whole_number(config, "num_attention_heads", 12),
        "qkv_bias": flag(config, "qkv_bias", True),
        "mlp_ratio": mlp_ratio(whole_number(config, "intermediate_size", 3072), width),
        "attention": config.get("attention_type", "divided_space_time"),
        "norm_epsilon": real_number(config, "layer_norm_eps", 1e-6),
    }


def _config(model: TimeSformer) -> dict[str, Any]:
    return {
        "num_frames": model.frames,
        "image_size": model.image_size,
        "patch_size": model.patch_size,
        "num_channels": 3,
        "hidden_size": model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "intermediate_size": int(model.width * model.mlp_ratio),
        "attention_type": model.attention,
        "layer_norm_eps": model.norm_epsilon,
        "hidden_act": "gelu",
        "qkv_bias": model.qkv_bias,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
    }


def _inexpressible(model: TimeSformer) -> str:
    if model.temporal_attention != "global":
        return "cost volumes"
    if model.motion_module != "none":
        return f"the motion module {model.motion_module}"
    if model.attention == "space_only":
        return "an average over the frames of space_only"
    return ""


TIMESFORMER_HUGGING_FACE = HuggingFaceForm(
    model_type="timesformer",
    classifier="TimesformerForVideoClassification",
    processor="VideoMAEImageProcessor",
    options=_options,
    config=_config,
    inexpressible=_inexpressible,
    names=_there,
)
"""TimeSformer in transformers."""
