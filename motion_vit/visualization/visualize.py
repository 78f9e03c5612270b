"""Visualizes a trained model on a video: maps in the places of the video, ready for drawing."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from motion_vit.data.sources.named_videos import find_videos
from motion_vit.data.video.decoding import decode_frames
from motion_vit.errors import UserError
from motion_vit.files.local_path import path_text
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.inference.ranking import ranked_classes
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.recipe.evidence import trained_evidence
from motion_vit.visualization.attention_layers import attention_layers
from motion_vit.visualization.attribution_maps import integrated_gradient_maps, occlusion_maps
from motion_vit.visualization.class_maps import asked_classes, class_activation_maps, grad_cams, most_probable
from motion_vit.visualization.clip_choice import ClipChoice, repeated_frames
from motion_vit.visualization.clip_recording import ALL, DEFAULT, Subject, What, record_clip
from motion_vit.visualization.clip_view import ClipView
from motion_vit.visualization.layer_maps import ClipFrames, LayerMap
from motion_vit.visualization.motion_maps import motion_maps, point_of_most_motion
from motion_vit.visualization.requests import check_class_names, check_temperature, choices, place, texts
from motion_vit.visualization.visualization import Visualization

# The shorter side in pixels that frames are drawn with at most.
_DRAWN_SIDE = 480
_NAMED_CLASSES = 3
_NO_CLASS = "The logits of this clip are NaN or infinite: no class is more probable than another."
_RANDOM_WEIGHTS = "The weights are random: the model has learned nothing, and the pictures show its structure alone."


def visualize(
    trained: TrainedModel,
    video: str | os.PathLike[str],
    *,
    start: float | None = None,
    clip: int | None = None,
    clips: int | None = None,
    what: What | Sequence[What] = (),
    layers: str | Sequence[str] = (),
    point: tuple[float, float] | None = None,
    classes: str = "",
    temperature: float = 1.0,
    has_random_weights: bool = False,
) -> Visualization:
    """Visualizes a clip of a video.

    By default it is the clip that an evaluation with one clip of each video takes: the middle of the video, or frames
    spread over it. The clips of evaluation are those of `motion_vit.visualization.clip_choice`.

    Args:
      trained: weights, labels and recipe.
      video: a video file, or a folder of one video or of its frames.
      start: second of the video that the clip starts at.
      clip: in place of `start`, the number, from 1, of one of the clips that evaluation spreads over the video.
      clips: how many these are; None for the recipe's.
      what: kinds of maps, or one; () for all that the model has and that only need a forward pass.
      layers: names of layers, or patterns such as `stage3/*`; () for all. Maps of the clip itself are none of them.
      point: (y, x) of the patch to look at, in pixels of the video; None for a place with motion.
      classes: a class for the class activation maps, or two to compare, separated by a comma; "" for the most probable
        ones.
      temperature: divisor of the affinities before the softmax of displacement fields.
      has_random_weights: whether the model is untrained; every picture then says so.

    Returns:
      The maps. Whole maps of single layers stay in memory, but except for small models none is quadratic in the length
      of the clip.

    Raises:
      VideoDecodeError: the video cannot be decoded, or ends before the start.
      UserError: an argument is not what it must be, the video is too short to show motion, the model lacks a requested
        kind of map, or there is no such clip, layer, class or place.
    """
    path = _one_video(path_text(video, "the video"))
    part = ClipChoice(start, clip, clips)
    what, layers, point = choices(what, "what", ALL), texts(layers, "layers"), place(point)
    check_class_names(classes)
    check_temperature(temperature)
    shown = asked_classes(trained.label_names, classes)
    view, pixels = part.read(path, trained.config)
    if point is not None:
        view.check_seen(*point)
    inputs = normalization(trained.config)(jnp.asarray(pixels)[None])
    subject = Subject(trained.model, trained.variables, inputs, view, trained.label_names)
    recorded = record_clip(subject, what or DEFAULT, asked=bool(what), layers=layers)
    shown = shown or most_probable(recorded.logits)
    motion = motion_maps(subject, recorded, temperature=temperature)
    chosen = point or point_of_most_motion(motion) or _middle(view)
    maps: list[LayerMap] = [*motion, *attention_layers(subject, recorded, chosen)]
    if shown:
        maps += class_activation_maps(subject, recorded, shown)
    if shown and "grad-cam" in what:
        maps += grad_cams(subject, shown, layers)
    if shown and "integrated-gradients" in what:
        maps += integrated_gradient_maps(subject, shown)
    if shown and "occlusion" in what:
        maps += occlusion_maps(subject, shown)
    evidence = trained_evidence(trained.config)
    predictions = ranked_classes(recorded.logits, trained.label_names, _NAMED_CLASSES, evidence)
    return Visualization(
        video=pathlib.Path(path).name,
        clip=ClipFrames(decode_frames(path, view.frame_numbers, short_side=_DRAWN_SIDE), view),
        maps=tuple(maps),
        what=what or tuple(one for one in DEFAULT if one not in recorded.missing),
        point=chosen,
        predictions=predictions,
        model=f"{trained.config.model.name}, step {trained.step}",
        notes=(
            *([_RANDOM_WEIGHTS] if has_random_weights else []),
            *([] if predictions else [_NO_CLASS]),
            *filter(None, [repeated_frames(view)]),
            *_nearly_even([one.layer for one in motion if one.is_nearly_even]),
            *_not_shown(recorded.missing),
        ),
        has_random_weights=has_random_weights,
        part=part.in_words(trained.config),
    )


def _one_video(path: str) -> str:
    """Finds the one video that a folder holds, or is the frames of; other names are taken as they are."""
    if not os.path.isdir(path):
        return path
    found = find_videos([path])
    errors = [one for one in found if one.error]
    if errors:
        raise UserError(f"in {path} no single video is meant: {errors[0].path}: {errors[0].error}.")
    if len(found) > 1:
        some = ", ".join(os.path.relpath(one.path, path) for one in found[:3])
        raise UserError(f"{path} holds {len(found)} videos ({some}, ...), but one is looked at: name one of them.")
    return found[0].path


def _nearly_even(layers: Sequence[str]) -> list[str]:
    if not layers:
        return []
    return [
        f"In {', '.join(layers)} displacements are nearly equally likely (confidence near 0). Unless the model was "
        "trained with loss.correspondence.photometric, such a motion field is hardly more than a guess."
    ]


def _middle(view: ClipView) -> tuple[float, float]:
    top, left, height, width = view.box
    return top + height / 2, left + width / 2


def _not_shown(missing: Mapping[What, str]) -> list[str]:
    """Lists the maps that the model lacks, in a sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for what, reason in missing.items():
        by_reason.setdefault(reason, []).append(what)
    return [f"Not shown: {', '.join(whats)}: {reason}" for reason, whats in by_reason.items()]
