"""ViViT's weights: those of its authors' Flax code, of Hugging Face, and of the vision transformers of images.

Sources: `projects/vivit/model.py` of google-research/scenic; `VivitForVideoClassification` of transformers, which is
model 1. Exports of model 1 have Hugging Face's names. There is no PyTorch code of the other three: their names here are
those of timm's vision transformer, `temporal_` before what is of the attention over time or of the temporal encoder.
Weights that cost volumes add to an attention are called as in the EMIM authors' attention.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from motion_vit.interop.families.cost_volumes import COST_VOLUME_OPTIONS, COST_VOLUME_WEIGHTS, cost_volume_rules
from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.foreign_names import from_foreign, to_foreign
from motion_vit.interop.families.layouts import CLASS_TOKEN, CONVOLUTION, EMBEDDING
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope, torch_entry
from motion_vit.interop.families.scenic_names import known_scenic_names, scenic_names
from motion_vit.interop.families.slowfast_clips import KINETICS_CLASSES
from motion_vit.interop.families.state_dict_shapes import blocks, known, size
from motion_vit.interop.families.vivit_huggingface import (
    HUGGING_FACE_NAMES,
    HUGGING_FACE_NAMES_IN_MEMORY,
    VIVIT_HUGGING_FACE,
)
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor
from motion_vit.models.vivit import ViViT

_USUAL_HEAD = 64
"""Channels of a head in ViT-B and -L."""

_SOMETHING_SOMETHING_CLASSES = 174

_FIELDS = {"block": r"\d+", "norm": "[12]", "layer": "[12]", "when": "(temporal_)?"}
_ROOT = Scope(fields=_FIELDS)
_BLOCK = Scope("{when}blocks/block{block}/", "{when}blocks.{block}.", _FIELDS)
_ATTENTION = _BLOCK.inner("attention/", "attn.")
_ADAPTER = _ROOT.inner("adapter/", "adapter.")
_OVER_TIME = _BLOCK.inner("temporal_attention/", "temporal_attn.")


def _adapter_rules() -> tuple[Rule, ...]:
    """Makes the rules of what stands between the encoders, of any kind; an attention's name is that of the blocks'."""
    attention = _ADAPTER.inner("attention/", "attn.")
    return (
        *_ADAPTER.norm("norm", "norm"),
        *_ADAPTER.norm("norm{norm}", "norm{norm}"),
        *_ADAPTER.layer("mlp/fc{layer}", "mlp.fc{layer}"),
        _ADAPTER.weight("queries", "queries"),
        *(rule for name in ("query", "key", "value", "proj") for rule in _ADAPTER.layer(name, name)),
        *attention.layer("qkv", "qkv"),
        *attention.layer("proj", "proj"),
        *cost_volume_rules(attention),
    )


RULES: tuple[Rule, ...] = (
    *_ROOT.layer("embedding", "patch_embed.proj", CONVOLUTION),
    _ROOT.weight("{when}places/class_token", "{when}cls_token", CLASS_TOKEN),
    _ROOT.weight("{when}places/place_embedding", "{when}pos_embed", EMBEDDING),
    *_BLOCK.norm("norm{norm}", "norm{norm}"),
    *_BLOCK.norm("temporal_norm", "temporal_norm1"),
    *_ATTENTION.layer("qkv", "qkv"),
    *_ATTENTION.layer("proj", "proj"),
    *_OVER_TIME.layer("qkv", "qkv"),
    *_OVER_TIME.layer("proj", "proj"),
    *cost_volume_rules(_ATTENTION),
    *cost_volume_rules(_OVER_TIME),
    *_BLOCK.layer("mlp/fc{layer}", "mlp.fc{layer}"),
    *_ROOT.norm("{when}norm", "{when}norm"),
    *_adapter_rules(),
    *_ROOT.layer("head", "head"),
)
"""The names of everything but motion modules, from the path here to the name there."""


_KNOWN_NAMES = (*HUGGING_FACE_NAMES, *HUGGING_FACE_NAMES_IN_MEMORY, *known_scenic_names())


def vivit_rules(model: ViViT) -> tuple[Rule, ...]:
    """Makes the table of a ViViT.

    Args:
      model: network whose weights are named.
    """
    return (*RULES, *motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "motion.")))


def vivit_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Gives weights of scenic, of Hugging Face and of ViTs in Flax the names and layouts of the rules.

    Args:
      tensors: weights of the source by name.

    Returns:
      Weights by name. Others keep theirs.
    """
    return from_foreign(tensors, _KNOWN_NAMES)


def vivit_published(model: ViViT, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gives the weights of model 1 the names of Hugging Face; those of other models, which have no others, keep theirs.

    Args:
      model: network that the weights are of.
      arrays: weights in PyTorch's layouts, under the names of the rules.
    """
    is_published = model.attention == "joint" and model.pooling == "class_token"
    return to_foreign(arrays, HUGGING_FACE_NAMES) if is_published else dict(arrays)


def scenic_arrays(model: ViViT, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gives weights the names and layouts of the authors' Flax code, nested names joined by "/".

    Args:
      model: network that the weights are of.
      arrays: weights by path here, which begins with "params/".

    Returns:
      Name in scenic -> array.

    Raises:
      UserError: the model has weights that the rules leave out.
    """
    entries = {path: torch_entry(vivit_rules(model), path) for path in arrays}
    own = {entry.name: entry.layout.to_torch(arrays[path]) for path, entry in entries.items()}
    return to_foreign(own, scenic_names(model.attention, model.heads))


def vivit_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.vivit.ViViT` off a state dict.

    Args:
      shapes: names and shapes of the weights, of `vivit_tensors`.

    Returns:
      The options that the weights leave no doubt about; not the number of heads, which no shape depends on, and of
      models with one table of places for the whole clip neither `frames` nor `image_size`.
    """
    patch_size, places = size(shapes, "patch_embed.proj.weight", -1), size(shapes, "pos_embed", -2)
    tubelet_frames = size(shapes, "patch_embed.proj.weight", 2) if _has_tubelets(shapes) else None
    class_token = "cls_token" in shapes
    found = {
        "num_classes": size(shapes, "head.weight"),
        "width": size(shapes, "patch_embed.proj.bias"),
        "depth": blocks(shapes, r"blocks\.(\d+)\."),
        "temporal_depth": blocks(shapes, r"temporal_blocks\.(\d+)\."),
        "tubelet_frames": tubelet_frames,
        "patch_size": patch_size,
        "pooling": "class_token" if class_token else "mean",
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
        **_cost_volume_options(shapes),
        **_adapter_options(shapes),
    }
    if any(name.startswith("temporal_blocks.") for name in shapes):
        times = size(shapes, "temporal_pos_embed", -2)
        found["attention"] = "factorised_encoder"
        found["frames"] = (times - class_token) * tubelet_frames if times and tubelet_frames else None
        found["image_size"] = math.isqrt(places - class_token) * patch_size if places and patch_size else None
    elif any(".temporal_attn." in name for name in shapes):
        found["attention"] = "factorised_self_attention"
    elif class_token and _has_tubelets(shapes):
        found["attention"] = "joint"  # without a class token, it may also be "factorised_dot_product"
    return known(found)


def _has_tubelets(shapes: Mapping[str, Shape]) -> bool:
    return len(shapes.get("patch_embed.proj.weight", ())) == 5


def _cost_volume_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads from displacement bias and motion branch where EMIM is, and its window."""
    windows = [shape[-1] for name, shape in shapes.items() if name.endswith("attn.rpb") and shape]
    branches = [
        math.isqrt(shape[-1]) for name, shape in shapes.items() if name.endswith("motion_conv.0.weight") and shape
    ]
    if not windows and not branches:
        return {"placement": "gg", "temporal_attention": "global"}
    common = {"position_bias": bool(windows), "motion_branch": bool(branches), "window": (windows or branches)[0]}
    if any(".temporal_attn." in name for name in shapes):
        return common | {"temporal_attention": "cost_volume", "placement": "gg"}
    kinds = [
        "l" if any(name.startswith((f"{block}.rpb", f"{block}.motion_conv")) for name in shapes) else "g"
        for block in ("blocks.0.attn", "blocks.1.attn")
        if f"{block}.qkv.weight" in shapes
    ]
    return common | {"temporal_attention": "global", "placement": "".join(kinds) if len(kinds) == 2 else None}


def _adapter_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads which adapter stands between the encoders, and its size."""
    if "adapter.queries" in shapes:
        return {"adapter": "attention", "adapter_queries": size(shapes, "adapter.queries", 0)}
    if "adapter.attn.qkv.weight" in shapes:
        return {"adapter": "emim"}
    hidden, width = size(shapes, "adapter.mlp.fc1.weight", 0), size(shapes, "adapter.mlp.fc1.weight", 1)
    return {"adapter": "bottleneck", "adapter_ratio": hidden / width} if hidden and width else {"adapter": "none"}


def vivit_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the published weights took their clips, from the number of classes.

    The configurations in `projects/vivit/configs` take every second frame of Kinetics and every frame of
    Something-Something, one run of frames for each clip, and scale pixels to [-1, 1] (`zero_centering`).

    Args:
      found: of `vivit_options`.

    Returns:
      `channel_order`, `mean`, `std`, and where they are known `sampling` and `stride`.
    """
    clips: dict[str, Any] = {"channel_order": "rgb", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    if found.get("num_classes") in KINETICS_CLASSES:
        return clips | {"sampling": "dense", "stride": 2}
    if found.get("num_classes") == _SOMETHING_SOMETHING_CLASSES:
        return clips | {"sampling": "dense", "stride": 1}
    return clips


def vivit_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights, of `vivit_tensors`.
      options: every option of the model.

    Returns:
      Sentences.
    """
    channels = options["width"] // options["heads"]
    notes = []
    if channels != _USUAL_HEAD:
        notes.append(
            f"weights do not tell the number of heads; the model has {options['heads']} of {channels} channels each, "
            f"those of ViT have {_USUAL_HEAD}"
        )
    if options["attention"] == "factorised_self_attention":
        notes.append(
            "weights do not tell which attention comes first; the model has "
            f"attention_order={options['attention_order']}"
        )
    return notes


def vivit_table_grid(model: ViViT, path: str) -> tuple[int, int, int] | None:
    """Returns the frames, rows and columns that a table of places is for; None for other weights.

    Args:
      model: network that the weight is of.
      path: its path here, which begins with "params/".
    """
    frames, side = model.frames // model.tubelet_frames, model.image_size // model.patch_size
    in_frame = model.attention == "factorised_encoder"
    return {
        "params/places/place_embedding": (1 if in_frame else frames, side, side),
        "params/temporal_places/place_embedding": (frames, 1, 1),
    }.get(path)


VIVIT = ModelFamily(
    rules=vivit_rules,
    parts={
        "head": HEAD,
        "temporal": Part(
            "the attention over time (as a copy of that within frames) or the temporal encoder",
            r".*/temporal_(attention|norm)/.*|temporal_(places|blocks|norm)/.*",
            ("attention", "temporal_depth", "temporal_attention", *COST_VOLUME_OPTIONS),
            copies=((r"(.*)/temporal_attention/((?:qkv|proj)/.*)", r"\1/attention/\2"),),
        ),
        "adapter": Part(
            "the adapter between the encoders", r"adapter/.*", ("adapter", "adapter_queries", "adapter_ratio")
        ),
        "motion": Part(
            "the weights that only cost volumes and motion modules have",
            rf".*/(temporal_)?attention/{COST_VOLUME_WEIGHTS}|{MOTION_MODULE_WEIGHTS}",
            ("placement", "temporal_attention", "motion_module", *COST_VOLUME_OPTIONS),
        ),
    },
    structure=("width", "depth", "patch_size"),
    read_options=vivit_options,
    clips=vivit_clips,
    notes=vivit_notes,
    tensors=vivit_tensors,
    published=vivit_published,
    table_grid=vivit_table_grid,
    huggingface=VIVIT_HUGGING_FACE,
    # Of image models; a class token is left over where the model has none, and its table of places is resized.
    beside=r"pre_logits[./].*|cls_token",
)
"""ViViT in all its schemes of attention, and the transformers of images that it starts from."""
