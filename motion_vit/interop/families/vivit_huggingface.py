"""ViViT, model 1, as transformers stores it: `VivitForVideoClassification`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from motion_vit.errors import UserError
from motion_vit.interop.families.foreign_names import ForeignName, to_foreign
from motion_vit.interop.families.huggingface import HuggingFaceForm, mlp_ratio, only, whole_number
from motion_vit.models.vivit import ViViT

_PARTS = ("query", "key", "value")


def _layers(*names: tuple[str, str]) -> tuple[ForeignName, ...]:
    """Names weight and bias of layers that are laid out alike."""
    return tuple(ForeignName(f"{other}.{kind}", f"{own}.{kind}") for other, own in names for kind in ("weight", "bias"))


HUGGING_FACE_NAMES = (
    ForeignName("vivit.embeddings.cls_token", "cls_token"),
    ForeignName("vivit.embeddings.position_embeddings", "pos_embed"),
    *_layers(
        ("vivit.embeddings.patch_embeddings.projection", "patch_embed.proj"),
        *((f"vivit.encoder.layer.{{n}}.attention.attention.{part}", f"blocks.{{n}}.attn.{part}") for part in _PARTS),
        ("vivit.encoder.layer.{n}.attention.output.dense", "blocks.{n}.attn.proj"),
        ("vivit.encoder.layer.{n}.intermediate.dense", "blocks.{n}.mlp.fc1"),
        ("vivit.encoder.layer.{n}.output.dense", "blocks.{n}.mlp.fc2"),
        ("vivit.encoder.layer.{n}.layernorm_before", "blocks.{n}.norm1"),
        ("vivit.encoder.layer.{n}.layernorm_after", "blocks.{n}.norm2"),
        ("vivit.layernorm", "norm"),
        ("classifier", "head"),
    ),
)
"""Names in Hugging Face's files, whatever version wrote them."""

HUGGING_FACE_NAMES_IN_MEMORY = _layers(
    *((f"vivit.layers.{{n}}.attention.{part[0]}_proj", f"blocks.{{n}}.attn.{part}") for part in _PARTS),
    ("vivit.layers.{n}.attention.o_proj", "blocks.{n}.attn.proj"),
    ("vivit.layers.{n}.mlp.fc1", "blocks.{n}.mlp.fc1"),
    ("vivit.layers.{n}.mlp.fc2", "blocks.{n}.mlp.fc2"),
    ("vivit.layers.{n}.layernorm_before", "blocks.{n}.norm1"),
    ("vivit.layers.{n}.layernorm_after", "blocks.{n}.norm2"),
)
"""Names of the blocks in a module of transformers 5, whose `state_dict()` is no file."""


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    # By either name the approximation of GELU with a hyperbolic tangent.
    if config.get("hidden_act", "gelu_fast") != "gelu_new":
        only(config, "hidden_act", "gelu_fast")
    only(config, "qkv_bias", True)
    only(config, "num_channels", 3)
    only(config, "layer_norm_eps", 1e-6)
    width = whole_number(config, "hidden_size", 768)
    tubelet = config.get("tubelet_size", [2, 16, 16])
    if not (isinstance(tubelet, list) and len(tubelet) == 3 and tubelet[1] == tubelet[2]):
        raise UserError(f"its tubelet_size is {tubelet!r}, but must be [frames, side, side].")
    sides = {"frames": tubelet[0], "side": tubelet[1]}
    return {
        "frames": whole_number(config, "num_frames", 32),
        "image_size": whole_number(config, "image_size", 224),
        "tubelet_frames": whole_number(sides, "frames", 2),
        "patch_size": whole_number(sides, "side", 16),
        "width": width,
        "depth": whole_number(config, "num_hidden_layers", 12),
        "heads": whole_number(config, "num_attention_heads", 12),
        "mlp_ratio": mlp_ratio(whole_number(config, "intermediate_size", 3072), width),
    }


def _config(model: ViViT) -> dict[str, Any]:
    return {
        "num_frames": model.frames,
        "image_size": model.image_size,
        "tubelet_size": [model.tubelet_frames, model.patch_size, model.patch_size],
        "num_channels": 3,
        "hidden_size": model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "intermediate_size": int(model.width * model.mlp_ratio),
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu_fast",
        "qkv_bias": True,
        "hidden_dropout_prob": model.dropout,
        "attention_probs_dropout_prob": 0.0,
    }


def _inexpressible(model: ViViT) -> str:
    if model.attention != "joint":
        return f"the attention {model.attention}"
    if model.pooling != "class_token":
        return "an average over the tokens"
    if model.cost_volume_stages():
        return "cost volumes"
    return "" if model.motion_module == "none" else f"the motion module {model.motion_module}"


def _there(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames weights to those of transformers; an export to PyTorch has these names already."""
    return to_foreign(weights, HUGGING_FACE_NAMES)


VIVIT_HUGGING_FACE = HuggingFaceForm(
    model_type="vivit",
    classifier="VivitForVideoClassification",
    processor="VivitImageProcessor",
    options=_options,
    config=_config,
    inexpressible=_inexpressible,
    names=_there,
)
"""ViViT in transformers."""
