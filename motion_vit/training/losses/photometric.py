"""The photometric loss of unsupervised optical flow, on the motion fields of cost volumes.

The field says where each patch of a frame lies in another one. Where it is right, what is found there has the colours
of the frame itself. Source: Jonschkowski et al., "What matters in unsupervised optical flow" (arXiv 2006.04902,
section 3). This is its plainest form: robust differences of colours, left out where the field leaves the image, and
a penalty of fields that change from patch to patch.
"""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from motion_vit.models.token_layout import TokenLayout
from motion_vit.ops.displacement import CostVolume, displacement_weights, mean_displacement

# Frames are compared at so many points a side of a patch: averages of pixels, over which colours change slowly enough
# for a gradient to lead a patch to its place, and close enough to tell fractions of a patch.
_POINTS_A_PATCH = 4
# Added to squares before their root is taken, so that it has a gradient at 0: of colours, and of displacements.
_LEAST_COLOUR, _LEAST_STEP = 1e-4, 1e-6


def photometric_loss(
    cost_volume: CostVolume,
    clips: Float[Array, "b t height width 3"],
    layout: TokenLayout,
    *,
    frame_offset: int = 1,
    smoothness: float = 0.1,
) -> Float[Array, " b"]:
    """Measures the difference in colour between patches and what a cost volume's mean displacement leads to.

    Args:
      cost_volume: affinities of frames `n` and `n + frame_offset` of tokens, or of `n - frame_offset` and `n` if it is
        negative.
      clips: normalised clips, as the model saw them.
      layout: where in them the tokens lie.
      frame_offset: distance of the frames of a pair.
      smoothness: weight of the change of the field from patch to patch, in patches.

    Returns:
      The loss of each clip: the mean difference over the points whose displaced place lies in the image, in the unit of
      the clips, and the mean change of the field.
    """
    pairs = cost_volume.shape[1]
    field, _ = mean_displacement(displacement_weights(cost_volume))
    points = _points(clips, layout)
    side = points.shape[2] // layout.rows
    earlier, later = points[:, :pairs], points[:, abs(frame_offset) :][:, :pairs]
    here, there = (earlier, later) if frame_offset > 0 else (later, earlier)
    height, width = points.shape[2:4]
    moved = side * jax.image.resize(field, (*field.shape[:2], height, width, 2), "linear")
    y, x = jnp.meshgrid(jnp.arange(height, dtype=field.dtype), jnp.arange(width, dtype=field.dtype), indexing="ij")
    rows, columns = y[None, None] + moved[..., 1], x[None, None] + moved[..., 0]
    found = _colours_at(there, rows, columns)
    seen = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    difference = jnp.sqrt(jnp.mean(jnp.square(found - here), axis=-1) + _LEAST_COLOUR)
    of_frame = (1, 2, 3)
    mean_difference = jnp.sum(difference * seen, of_frame) / jnp.maximum(jnp.sum(seen, of_frame), 1)
    return mean_difference + smoothness * _change(field)


def _points(clips: Float[Array, "b t h w 3"], layout: TokenLayout) -> Float[Array, "b n y x 3"]:
    """Averages the frames that tokens are of over squares of pixels."""
    frames = clips[:, layout.first_frame :: layout.temporal_stride, : layout.seen[0], : layout.seen[1]]
    # The largest square of pixels that divides a patch into at least so many.
    pixels = next(side for side in range(max(layout.stride // _POINTS_A_PATCH, 1), 0, -1) if layout.stride % side == 0)
    batch, count, height, width, channels = frames.shape
    squares = frames.reshape(batch, count, height // pixels, pixels, width // pixels, pixels, channels)
    return jnp.mean(squares.astype(jnp.float32), axis=(3, 5))


# Traced once for the cost volumes of all layers that see frames of one size.
@jax.jit
def _colours_at(
    frames: Float[Array, "b n h w 3"], rows: Float[Array, "b n h w"], columns: Float[Array, "b n h w"]
) -> Float[Array, "b n h w 3"]:
    """Interpolates the colours of frames bilinearly; beyond the border they are those of the border."""
    sample = functools.partial(map_coordinates, order=1, mode="nearest")
    of_channels = jax.vmap(lambda frame, y, x: sample(frame, [y, x]), in_axes=(-1, None, None), out_axes=-1)
    return jax.vmap(jax.vmap(of_channels))(frames, rows, columns)


def _change(field: Float[Array, "b n h w 2"]) -> Float[Array, " b"]:
    """Averages the length of the difference between neighbouring displacements, over both directions."""
    steps = (jnp.diff(field, axis=axis) for axis in (2, 3) if field.shape[axis] > 1)
    lengths = (jnp.sqrt(jnp.sum(jnp.square(step), axis=-1) + _LEAST_STEP) for step in steps)
    return sum((jnp.mean(length, axis=(1, 2, 3)) for length in lengths), start=jnp.zeros(field.shape[0]))
