"""Records M2A's motion modules on a clip: gates over place and time, and the attention of frames."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.models.video_model import VideoModel
from motion_vit.visualization import recording

_GATE, _ATTENTION = "/gate", "/frame_attention"


class MotionGate(NamedTuple):
    """The gate and the frame attention of a motion module.

    Attributes:
      gate: `[b, t, h, w]`: factor of the features before they are added to themselves, averaged over the channels, from
        0 to 1.
      spread: `[b, t, h, w]`: standard deviation of the gate over the channels.
      frame_attention: `[b, t, t]`: attention of each frame (row) to every frame; None for a module without it.
    """

    gate: Float[Array, "b t h w"]
    spread: Float[Array, "b t h w"]
    frame_attention: Float[Array, "b t t"] | None


def record_gates(
    model: VideoModel, variables: Mapping[str, Any], clips: Float[Array, "b t h w 3"], layers: str = "*/motion"
) -> dict[str, MotionGate]:
    """Records the gates of a model's motion modules.

    Args:
      model: a model with `motion_module="m2a"` or another one.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      layers: path of a module, such as "stage1/block0/motion", or a pattern.

    Returns:
      Gates by the path of their module; the intermediate's name is that path plus "/gate".

    Raises:
      UserError: the model has no such module.
    """
    known = list(recording.names(model, clips.shape[1:]))
    gates = recording.choose(known, [layers + _GATE])
    paths = [name.removesuffix(_GATE) for name in gates]
    attentions = [path + _ATTENTION for path in paths if path + _ATTENTION in known]
    maps = recording.record(model, variables, clips, gates + attentions, transform=_over_channels).maps
    found = {}
    for path in paths:
        mean, deviation = maps[path + _GATE]
        found[path] = MotionGate(mean, deviation, maps.get(path + _ATTENTION))
    return found


def _over_channels(maps: dict[str, Array]) -> dict[str, Any]:
    """Computes mean and standard deviation of gates over channels; keeps the rest."""
    return {
        name: (jnp.mean(values, axis=-1, dtype=jnp.float32), jnp.std(values, axis=-1, dtype=jnp.float32))
        if name.endswith(_GATE)
        else values
        for name, values in maps.items()
    }
