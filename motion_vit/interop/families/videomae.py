"""VideoMAE's weights: those of its authors' PyTorch code, of VideoMAE V2 and of Hugging Face.

Sources: `VisionTransformer` in `modeling_finetune.py` of MCG-NJU/VideoMAE and OpenGVLab/VideoMAEv2, whose names and
layouts are the ones that this library exports; `run_class_finetuning.py` there, which takes the encoder out of
pretrained weights; `VideoMAEForVideoClassification` and `VideoMAEForPreTraining` of transformers. Weights that cost
volumes add to the attention are called as in the EMIM authors' attention.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from motion_vit.interop.families.cost_volumes import COST_VOLUME_OPTIONS, COST_VOLUME_WEIGHTS, cost_volume_rules
from motion_vit.interop.families.family import HEAD, ModelFamily, Part
from motion_vit.interop.families.imagenet import IMAGENET_MEAN, IMAGENET_STD
from motion_vit.interop.families.layouts import CONVOLUTION, EMBEDDING
from motion_vit.interop.families.motion_modules import MOTION_MODULE_WEIGHTS, motion_module_rules
from motion_vit.interop.families.name_rules import Rule, Scope
from motion_vit.interop.families.state_dict_shapes import blocks, has_own_names, known, size
from motion_vit.interop.families.videomae_huggingface import VIDEOMAE_HUGGING_FACE
from motion_vit.interop.files.stored_tensor import Shape, StoredTensor, join_tensors
from motion_vit.models.videomae import VideoMAE

_DENSE_CLASSES = (400, 600, 700, 710)
"""Numbers of classes of Kinetics, 710 being that of its three versions together."""

_SEGMENT_CLASSES = 174
"""Classes of Something-Something."""

_HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}
"""Heads of the published networks, by their width."""

_FIELDS = {"block": r"\d+", "norm": "[12]", "layer": "[12]"}
_ROOT = Scope(fields=_FIELDS)
_BLOCK = Scope("blocks/block{block}/", "blocks.{block}.", _FIELDS)

RULES: tuple[Rule, ...] = (
    *_ROOT.layer("embedding/proj", "patch_embed.proj", CONVOLUTION),
    _ROOT.weight("embedding/place_embedding", "pos_embed", EMBEDDING),
    *_BLOCK.norm("norm{norm}", "norm{norm}"),
    _BLOCK.kernel("attention/qkv", "attn.qkv"),
    _BLOCK.weight("attention/qkv/query_bias", "attn.q_bias"),
    _BLOCK.weight("attention/qkv/value_bias", "attn.v_bias"),
    *_BLOCK.layer("attention/proj", "attn.proj"),
    *cost_volume_rules(_BLOCK.inner("attention/", "attn.")),
    *_BLOCK.layer("mlp/fc{layer}", "mlp.fc{layer}"),
    _BLOCK.weight("layer_scale{layer}", "gamma_{layer}"),
    *_ROOT.norm("fc_norm", "fc_norm"),
    *_ROOT.layer("head", "head"),
)
"""The names of everything but motion modules, from the path here to the name there."""

_ENCODER = "encoder."
"""What pretraining puts before the names of the network."""

_PRETRAINING = r"decoder\..*|encoder_to_decoder\..*|mask_token|encoder\.norm\..*"
"""What pretrained weights have beside the network: the decoder, and a normalisation that the classifier lacks."""

_PARTS = ("query", "key", "value")
_HUGGING_FACE_BLOCK = r"(?:videomae\.)?encoder\.layer\.(\d+)\."
_HUGGING_FACE_PART = re.compile(rf"({_HUGGING_FACE_BLOCK}attention\.attention\.)query\.weight")

_HUGGING_FACE_NAMES = (
    (r"(?:videomae\.)?embeddings\.patch_embeddings\.projection\.", r"patch_embed.proj."),
    (rf"{_HUGGING_FACE_BLOCK}attention\.attention\.(?:query\.bias|q_bias)", r"blocks.\1.attn.q_bias"),
    (rf"{_HUGGING_FACE_BLOCK}attention\.attention\.(?:value\.bias|v_bias)", r"blocks.\1.attn.v_bias"),
    (rf"{_HUGGING_FACE_BLOCK}attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (rf"{_HUGGING_FACE_BLOCK}intermediate\.dense\.", r"blocks.\1.mlp.fc1."),
    (rf"{_HUGGING_FACE_BLOCK}output\.dense\.", r"blocks.\1.mlp.fc2."),
    (rf"{_HUGGING_FACE_BLOCK}layernorm_before\.", r"blocks.\1.norm1."),
    (rf"{_HUGGING_FACE_BLOCK}layernorm_after\.", r"blocks.\1.norm2."),
    (r"classifier\.", r"head."),
)
"""Beginnings of names of Hugging Face, and what they are in the authors' code."""


def videomae_rules(model: VideoMAE) -> tuple[Rule, ...]:
    """Makes the table of a VideoMAE.

    Args:
      model: network whose weights are named.
    """
    return (*RULES, *motion_module_rules(model.motion_module, _BLOCK.inner("motion/", "motion.")))


def videomae_tensors(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Gives weights the names that the authors' classifier has for them.

    Those of Hugging Face are renamed, and queries, keys and values joined; those of a pretrained encoder lose its name.

    Args:
      tensors: weights of the source by name.

    Returns:
      Weights by name. Others keep theirs, the decoder of pretraining among them.
    """
    first = [found for name in tensors if (found := _HUGGING_FACE_PART.fullmatch(name))]
    if first:
        return _from_hugging_face(tensors, {found[1]: int(found[2]) for found in first if len(found[2]) < _LONG})
    if any(name.startswith(f"{_ENCODER}blocks.") for name in tensors):
        return {
            name if name.startswith(f"{_ENCODER}norm.") else name.removeprefix(_ENCODER): tensor
            for name, tensor in tensors.items()
        }
    return dict(tensors)


_LONG = 9
"""Digits of a number that is no block's; one of millions takes long to read."""


def _from_hugging_face(tensors: Mapping[str, StoredTensor], attentions: Mapping[str, int]) -> dict[str, StoredTensor]:
    renamed = {}
    joined: set[str] = set()
    for attention, block in attentions.items():
        parts = [f"{attention}{part}.weight" for part in _PARTS]
        if all(part in tensors and tensors[part].shape == tensors[parts[0]].shape != () for part in parts):
            renamed[f"blocks.{block}.attn.qkv.weight"] = join_tensors([tensors[part] for part in parts])
            joined.update(parts)
    pretrained = "mask_token" in tensors
    for name, tensor in tensors.items():
        if name not in joined:
            renamed[_authors_name(name, pretrained)] = tensor
    return renamed


def _authors_name(name: str, pretrained: bool) -> str:
    for beginning, replacement in _HUGGING_FACE_NAMES:
        if found := re.match(beginning, name):
            return found.expand(replacement) + name[found.end() :]
    # In a classifier this norm means another network: it classifies the first token.
    return re.sub(r"^videomae\.layernorm\.", f"{_ENCODER}norm.", name) if pretrained else name


def videomae_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads options of `motion_vit.models.videomae.VideoMAE` off a state dict.

    Args:
      shapes: names and shapes of the weights in the authors' code.

    Returns:
      The options that the weights leave no doubt about; not the number of heads, which no shape depends on, nor, with
      the fixed table, frames and image size.
    """
    found = {
        "num_classes": size(shapes, "head.weight"),
        "width": size(shapes, "patch_embed.proj.bias"),
        "depth": blocks(shapes, r"blocks\.(\d+)\."),
        "tubelet_frames": size(shapes, "patch_embed.proj.weight", 2),
        "patch_size": size(shapes, "patch_embed.proj.weight", -1),
        "qkv_bias": _qkv_bias(shapes),
        "positions": "learned" if "pos_embed" in shapes else "sinusoid",
        # Motion modules are the only ones called so; what kind one is, its weights do not always tell.
        "motion_module": None if any(".motion." in name for name in shapes) else "none",
        **_cost_volume_options(shapes),
    }
    # None is what this option is called without layer scale, and no lack of knowledge.
    return {**known(found), "layer_scale": 1.0 if any(name.endswith(".gamma_1") for name in shapes) else None}


def _qkv_bias(shapes: Mapping[str, Shape]) -> bool | None:
    """Tells whether queries and values have biases; None where there is no attention to tell it of."""
    attention = {name.rpartition(".")[2] for name in shapes if re.fullmatch(r"blocks\.\d+\.attn\.q.*", name)}
    return "q_bias" in attention if attention else None


def _cost_volume_options(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Reads from displacement bias and motion branch where EMIM is, and its window."""
    windows = [shape[-1] for name, shape in shapes.items() if name.endswith("attn.rpb") and shape]
    branches = [
        math.isqrt(shape[-1]) for name, shape in shapes.items() if name.endswith("motion_conv.0.weight") and shape
    ]
    kinds = [
        "l" if any(name.startswith((f"{block}.rpb", f"{block}.motion_conv")) for name in shapes) else "g"
        for block in ("blocks.0.attn", "blocks.1.attn")
        if f"{block}.qkv.weight" in shapes
    ]
    if not windows and not branches:
        return {"placement": "gg"}
    return {
        "placement": "".join(kinds) if len(kinds) == 2 else None,
        "position_bias": bool(windows),
        "motion_branch": bool(branches),
        "window": (windows or branches)[0],
    }


def videomae_clips(found: Mapping[str, Any]) -> dict[str, Any]:
    """Tells how the published weights took their clips, from the number of classes.

    `kinetics.py` of MCG-NJU/VideoMAE decodes with decord, 16 frames of which one in four is taken; `ssv2.py` takes one
    in each of equal segments. Both normalise by the pixels of ImageNet.

    Args:
      found: of `videomae_options`.

    Returns:
      `channel_order`, `mean`, `std`, and where they are known `sampling` and `stride`.
    """
    clips: dict[str, Any] = {"channel_order": "rgb", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    if found.get("num_classes") in _DENSE_CLASSES:
        return clips | {"sampling": "dense", "stride": 4}
    return clips | ({"sampling": "segment"} if found.get("num_classes") == _SEGMENT_CLASSES else {})


def videomae_notes(shapes: Mapping[str, Shape], options: Mapping[str, Any]) -> list[str]:
    """Lists what is worth knowing of weights that shapes do not tell apart from others.

    Args:
      shapes: names and shapes of the weights in the authors' code.
      options: every option of the model.

    Returns:
      Sentences.
    """
    usual = _HEADS.get(options["width"], options["heads"])
    notes = []
    if options["heads"] != usual:
        notes.append(
            f"weights do not tell the number of heads; the model has {options['heads']}, published networks of this "
            f"width have {usual}"
        )
    if not has_own_names(shapes) and "fc_norm.weight" not in shapes:
        notes.append(
            "the weights are those of an encoder without a classifier, as pretraining leaves them: the model is to be "
            "fine-tuned"
        )
    return notes


VIDEOMAE = ModelFamily(
    rules=videomae_rules,
    parts={
        "head": HEAD,
        "norm": Part("the normalisation before the classifier, which pretraining lacks", r"fc_norm/.*"),
        "motion": Part(
            "the weights that only EMIM and motion modules have",
            rf".*/attention/{COST_VOLUME_WEIGHTS}|{MOTION_MODULE_WEIGHTS}",
            ("placement", "motion_module", *COST_VOLUME_OPTIONS),
        ),
    },
    structure=("width", "depth", "patch_size"),
    read_options=videomae_options,
    clips=videomae_clips,
    notes=videomae_notes,
    tensors=videomae_tensors,
    beside=_PRETRAINING,
    huggingface=VIDEOMAE_HUGGING_FACE,
)
"""VideoMAE's classifier, and the encoder of its pretraining."""
