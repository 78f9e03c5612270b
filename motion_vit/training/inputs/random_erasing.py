"""Random erasing: replaces a box of a clip, the same in all its frames, by noise."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

# Boxes drawn for each clip; the first that fits into the picture is taken. The original draws up to a hundred, one
# after the other. Of a square picture one box in fifty is too large, so that ten never run out.
_ATTEMPTS = 10


def random_erasing(
    clips: Float[Array, "b t h w c"],
    key: PRNGKeyArray,
    *,
    probability: float,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
) -> Float[Array, "b t h w c"]:
    """Replaces a random box of some clips by standard normal noise.

    Zhong et al., "Random Erasing Data Augmentation" (arXiv 1708.04896), in the form that video transformers use: mode
    "pixel", `cube=True` of `slowfast/datasets/random_erasing.py` in github.com/facebookresearch/SlowFast. The box is
    the same in all frames of a clip; the noise in it is drawn for every value.

    Args:
      clips: normalised clips, for which the noise has the right mean and spread.
      key: random key.
      probability: of erasing, independent for each clip.
      area: least and greatest share of the picture that the box covers; the share is uniform.
      ratio: least and greatest height / width of the box; its logarithm is uniform.

    Returns:
      The clips, in the same dtype. A clip for which ten boxes in a row are too large for the picture is not erased.
    """
    if probability == 0:
        return clips
    box_key, noise_key = jax.random.split(key)
    erased = _erased_boxes(box_key, clips.shape, probability, area, ratio)
    noise = jax.random.normal(noise_key, clips.shape, jnp.float32).astype(clips.dtype)
    return jnp.where(erased[:, None, :, :, None], noise, clips)


def _erased_boxes(
    key: PRNGKeyArray,
    shape: tuple[int, ...],
    probability: float,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Bool[Array, "b h w"]:
    """Draws a box for each chosen clip, as a mask."""
    batch, _, height, width, _ = shape
    shape_key, place_key = jax.random.split(key)
    area_draw, ratio_draw = jax.random.uniform(shape_key, (2, batch, _ATTEMPTS))
    chosen_draw, top_draw, left_draw = jax.random.uniform(place_key, (3, batch))
    pixels = height * width * (area[0] + (area[1] - area[0]) * area_draw)
    aspect = ratio[0] * (ratio[1] / ratio[0]) ** ratio_draw
    # Whole numbers, in float32.
    heights = jnp.round(jnp.sqrt(pixels * aspect))
    widths = jnp.round(jnp.sqrt(pixels / aspect))
    fits = (heights < height) & (widths < width) & (chosen_draw < probability)[:, None]
    first = fits & (jnp.cumsum(fits, axis=1) == 1)
    # Where no box is wanted or none fits, it is empty.
    box_height, box_width = (jnp.sum(jnp.where(first, sides, 0.0), axis=1) for sides in (heights, widths))
    top = jnp.floor(top_draw * (height - box_height + 1))
    left = jnp.floor(left_draw * (width - box_width + 1))
    rows = _interval(top, box_height, height)
    columns = _interval(left, box_width, width)
    return rows[:, :, None] & columns[:, None, :]


def _interval(start: Float[Array, " b"], length: Float[Array, " b"], size: int) -> Bool[Array, "b size"]:
    """Marks the positions 0 to `size - 1` that lie in each interval."""
    positions = jnp.arange(size, dtype=jnp.float32)[None, :]
    return (positions >= start[:, None]) & (positions < (start + length)[:, None])
