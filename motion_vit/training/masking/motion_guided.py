"""Scores of places that follow what moves, by this library's own block match. A variant of MGMAE, not MGMAE.

MGMAE (arXiv 2308.10794) carries the mask of the middle frame to the others by the optical flow of RAFT, a network with
weights of its own. Here the displacement of a tubelet comes from the cost volume of its pixels (`ops.cost_volume`): the
place of its neighbourhood in the neighbouring frame that looks most like it. It moves by whole tubelets, so that motion
of less than half of one is not seen. No published number is claimed for it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from motion_vit.ops.cost_volume import cost_volume
from motion_vit.ops.tubelets import Size, tubelet_pixels
from motion_vit.ops.window_geometry import inside_image

WINDOW = 7
"""Side of the neighbourhood that is searched, in tubelets."""

# What a displacement of one tubelet costs against a likeness of at most 1: tubelets without texture stay.
_COST_OF_MOVING = 1e-3
_EPSILON = 1e-6

Scores = Float[Array, "b places"]
Sources = Int[Array, "b places"]


def motion_guided_scores(
    key: PRNGKeyArray, pixels: Float[Array, "b t h w 3"], tubelet: Size
) -> Float[Array, "b t2 places"]:
    """Draws scores for the middle frame of tubelets and carries them to the others, frame by frame.

    Args:
      key: fixes the draw.
      pixels: clips in [0, 1].
      tubelet: frames, rows and columns of a tubelet.

    Returns:
      The scores: a place of another frame has the score of the place that it came from, or goes to.
    """
    features = _features(pixels, tubelet)
    batch, frames, rows, columns = features.shape[:4]
    middle = frames // 2
    scores = jax.random.uniform(key, (batch, rows * columns))
    later = matching_places(features[:, middle + 1 :], features[:, middle:-1])
    earlier = matching_places(features[:, :middle], features[:, 1 : middle + 1])
    after = _carry(scores, jnp.moveaxis(later, 1, 0))
    before = _carry(scores, jnp.moveaxis(earlier, 1, 0)[::-1])[::-1]
    return jnp.moveaxis(jnp.concatenate([before, scores[None], after]), 0, 1)


def matching_places(features: Float[Array, "b n h w c"], others: Float[Array, "b n h w c"]) -> Int[Array, "b n places"]:
    """Finds for each place of a frame the place of the other frame that looks most like it.

    Args:
      features: of unit length.
      others: of the paired frames.

    Returns:
      Numbers of places of the other frame, within `WINDOW`.
    """
    batch, pairs, rows, columns, channels = features.shape
    # The operator divides by the root of the channels, which likeness does not.
    queries = features[..., None, :] * jnp.asarray(np.sqrt(channels), features.dtype)
    volume = cost_volume(queries, others[..., None, :], jnp.asarray(_bias()), window=WINDOW, implementation="xla_dense")
    inside = jnp.asarray(inside_image(rows, columns, WINDOW)).reshape(1, 1, rows, columns, WINDOW**2)
    best = jnp.argmax(jnp.where(inside, volume[:, :, :, :, 0], -jnp.inf), axis=-1)
    radius = WINDOW // 2
    row = jnp.arange(rows).reshape(1, 1, rows, 1) + best // WINDOW - radius
    column = jnp.arange(columns).reshape(1, 1, 1, columns) + best % WINDOW - radius
    return (row * columns + column).reshape(batch, pairs, rows * columns)


def _features(pixels: Float[Array, "b t h w 3"], tubelet: Size) -> Float[Array, "b t2 h2 w2 c"]:
    """Makes the pixels of tubelets vectors of mean 0 and length 1, so that their products are correlations."""
    cut = tubelet_pixels(pixels, tubelet)
    cut = cut - jnp.mean(cut, axis=3, keepdims=True)
    vectors = cut.reshape(*cut.shape[:3], cut.shape[3] * cut.shape[4])
    lengths = jnp.sqrt(jnp.sum(jnp.square(vectors), axis=-1, keepdims=True))
    rows, columns = pixels.shape[2] // tubelet[1], pixels.shape[3] // tubelet[2]
    return (vectors / (lengths + _EPSILON)).reshape(*cut.shape[:2], rows, columns, vectors.shape[-1])


def _bias() -> Float[np.ndarray, "1 k k"]:
    """Prefers the smaller of equally likely displacements."""
    shift = np.arange(WINDOW) - WINDOW // 2
    return (-_COST_OF_MOVING * np.hypot(shift[:, None], shift[None]))[None].astype(np.float32)


def _carry(scores: Scores, sources: Int[Array, "n b places"]) -> Float[Array, "n b places"]:
    """Takes scores along from frame to frame, each from the places of the frame before."""

    def step(scores: Scores, source: Sources) -> tuple[Scores, Scores]:
        moved = jnp.take_along_axis(scores, source, axis=-1)
        return moved, moved

    return jax.lax.scan(step, scores, sources)[1]
