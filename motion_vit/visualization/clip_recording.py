"""Records everything to be drawn of a model and a clip, in one forward pass."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.visualization import recording
from motion_vit.visualization.clip_view import ClipView

What = Literal[
    "motion", "cost_volume", "attention", "cam", "grad-cam", "integrated-gradients", "occlusion", "prompt", "m2a"
]
"""What to show: displacement fields, the affinities of a patch, global attention and attention over time, class
activation, its generalisation by gradients, integrated gradients and occlusion of the clip itself, video motion
prompts, and M2A's gates and attention of frames."""

ALL: tuple[What, ...] = get_args(What)

APART: tuple[What, ...] = ("grad-cam", "integrated-gradients", "occlusion")
"""What is not made of the intermediates of the one forward pass, but takes passes of its own."""

DEFAULT: tuple[What, ...] = tuple(what for what in ALL if what not in APART)
"""What is shown unless something is asked for: all that takes a single forward pass."""

# How the names of the intermediates end that each is made of, and the words for a model without.
_ENDINGS: Mapping[What, tuple[str, ...]] = {
    "motion": ("/cost_volume", "/cost_volume_backward"),
    "cost_volume": ("/cost_volume", "/cost_volume_backward"),
    "attention": (
        *("/attention/query", "/attention/key", "/attention/attention_received"),
        "/temporal_attention/attention_weights",
    ),
    "prompt": ("attention_map",),
    "m2a": ("/gate", "/frame_attention"),
}
_NEEDED: Mapping[What, str] = {
    "motion": "cost_volume",
    "cost_volume": "cost_volume",
    "attention": "attention_weights",
    "prompt": "attention_map",
    "m2a": "gate",
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and the clip to look at.

    Attributes:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      inputs: the normalised clip.
      view: place of the clip in the video.
      label_names: the names of the classes.
    """

    model: VideoModel
    variables: Mapping[str, Any]
    inputs: Float[Array, "1 t h w 3"]
    view: ClipView
    label_names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ClipRecording:
    """The results of the forward pass.

    Attributes:
      logits: `[classes]`, not normalised.
      maps: intermediates by name, without the axis of the batch where they have one of length 1.
      missing: kinds that were not requested explicitly and that the model lacks, with the reasons.
    """

    logits: Float[np.ndarray, " classes"]
    maps: dict[str, np.ndarray]
    missing: Mapping[What, str]


def record_clip(
    subject: Subject, what: Sequence[What], *, asked: bool = False, layers: Sequence[str] = ()
) -> ClipRecording:
    """Records the intermediates of some kinds of maps.

    Args:
      subject: model and clip.
      what: kinds of maps to record.
      asked: whether they were requested explicitly, so that a missing one is an error.
      layers: patterns of names of layers, such as `stage3/*`; other layers are skipped. () for all.

    Returns:
      The recording.

    Raises:
      UserError: a pattern matches nothing, or the model lacks a requested kind, or names nothing at all.
    """
    known = list(recording.names(subject.model, subject.inputs.shape[1:]))
    if not known:
        raise UserError(recording.NOTHING_NAMED)
    chosen: list[str] = []
    missing: dict[What, str] = {}
    for one in what:
        try:
            chosen += _names(subject.model, known, one)
        except UserError as error:
            if asked:
                raise UserError(f"{one!r} is asked for, but {error}") from None
            missing[one] = str(error)
    if layers:
        within = set(recording.choose(known, [pattern for layer in layers for pattern in _patterns(layer, known)]))
        always = _names_of_class_activation(subject.model, what)
        chosen = [name for name in chosen if name in within or name in always]
        if not chosen and not set(APART) & set(what):
            raise UserError(
                f"in the layers {', '.join(layers)} there is nothing of {', '.join(what)}. `motion-vit visualize "
                "--list` names what there is."
            )
    found = recording.record(
        subject.model, subject.variables, subject.inputs, sorted(set(chosen)) or [known[-1]], transform=_reduce
    )
    maps = {name: np.asarray(value, np.float32) for name, value in found.maps.items() if name in chosen}
    return ClipRecording(np.asarray(found.logits[0], np.float32), maps, missing)


def _names(model: VideoModel, known: Sequence[str], what: What) -> list[str]:
    """Lists the intermediates of a kind of map."""
    if what in APART:
        return []
    if what == "cam":
        return [model.activation_layer()]
    found = [name for name in known if name.endswith(_ENDINGS[what])]
    if not found:
        raise UserError(f"the model has none; there is one in {recording.HELD_BY[_NEEDED[what]]}.")
    return found


def _names_of_class_activation(model: VideoModel, what: Sequence[What]) -> tuple[str, ...]:
    """Returns the layer of the class activation map, whatever layers are chosen."""
    try:
        return (model.activation_layer(),) if "cam" in what else ()
    except UserError:
        return ()


def _patterns(layer: str, known: Sequence[str]) -> list[str]:
    """Expands a layer's name to patterns of everything in it."""
    return [f"{layer}/*"] if any(name.startswith(f"{layer}/") for name in known) else [layer]


def _reduce(maps: dict[str, Array]) -> dict[str, Array]:
    """Averages gates over the channels, and keeps other maps as they are."""
    return {
        name: jnp.mean(value.astype(jnp.float32), axis=-1) if name.endswith("/gate") else value
        for name, value in maps.items()
    }
