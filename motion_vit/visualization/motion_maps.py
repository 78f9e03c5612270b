"""Makes maps for drawing from recorded cost volumes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.models.frame_offset import frame_offset
from motion_vit.ops.window_geometry import inside_image
from motion_vit.visualization.clip_recording import ClipRecording, Subject
from motion_vit.visualization.displacement import DisplacementField, displacement_field
from motion_vit.visualization.layer_maps import MotionMap
from motion_vit.visualization.token_grid import token_grid

_BACKWARD = "_backward"


def motion_maps(subject: Subject, recorded: ClipRecording, *, temperature: float = 1.0) -> list[MotionMap]:
    """Makes maps of the displacement fields and affinities of all recorded cost volumes.

    Args:
      subject: model and clip.
      recorded: intermediates of the clip.
      temperature: see `motion_vit.visualization.displacement.displacement_field`.

    Returns:
      A map for each cost volume.
    """
    maps = []
    for name, volume in recorded.maps.items():
        if not name.endswith(("/cost_volume", f"/cost_volume{_BACKWARD}")):
            continue
        offset = frame_offset(subject.model) * (-1 if name.endswith(_BACKWARD) else 1)
        flow, confidence = _mean_and_heads(volume, temperature)
        heads = tuple(f"head {head + 1}" for head in range(volume.shape[4]))
        layer = name.rsplit("/", 2)[0] + (" (backward)" if offset < 0 else "")
        window = round(volume.shape[-1] ** 0.5)
        inside = inside_image(volume.shape[2], volume.shape[3], window)[None, :, :, None]
        maps.append(
            MotionMap(
                layer,
                token_grid(subject.model, name, subject.view),
                DisplacementField(flow, confidence, offset),
                ("mean of heads", *heads),
                np.where(inside, volume[0], np.nan),
            )
        )
    return maps


@functools.partial(jax.jit, static_argnames="temperature")
def _mean_and_heads(
    volume: Float[Array, "1 n h w heads p"], temperature: float
) -> tuple[Float[Array, "fields n h w 2"], Float[Array, "fields n h w"]]:
    """Computes flow and confidence of the mean of the heads, then of each head."""
    mean, each = (displacement_field(volume, temperature=temperature, heads=heads) for heads in ("mean", "each"))
    return jnp.concatenate([mean.flow, each.flow[0]]), jnp.concatenate([mean.confidence, each.confidence[0]])


def point_of_most_motion(maps: list[MotionMap]) -> tuple[float, float] | None:
    """Finds the point where the first layer is surest of motion in the first pair of frames.

    Args:
      maps: those of the layers, in order.

    Returns:
      (y, x) in pixels of the video; None without maps.
    """
    if not maps:
        return None
    first = maps[0]
    speed = np.hypot(first.flow[0, 0, ..., 0], first.flow[0, 0, ..., 1])
    # Patches at the border are sure of little: half of their neighbourhood is not there.
    inner = np.zeros_like(speed)
    inner[1:-1, 1:-1] = 1
    row, column = np.unravel_index(int(np.argmax(speed * first.field.confidence[0, 0] * inner)), speed.shape)
    y, x = first.grid.centre(int(row), int(column))
    return float(y), float(x)
