"""Tube mixing: clips exchange patches, the same in all frames, so that what moves in a patch stays whole.

Source: SVFormer (Xing et al., CVPR 2023, arXiv 2211.13222), which mixes the tokens of a patch embedding.
Here pixels are mixed in patches. That is the same for an embedding whose kernel is its stride and as large as the
patches, and works for every other model, too.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from motion_vit.errors import UserError
from motion_vit.training.inputs.mixing import partners


def mix_tubes(
    clips: Float[Array, "b t h w c"],
    weights: Float[Array, " b"],
    key: PRNGKeyArray,
    *,
    alpha: float,
    patch: int,
    groups: int = 1,
) -> tuple[Float[Array, "b t h w c"], Float[Array, " b"]]:
    """Replaces patches of every clip by those of its partner, see `mixing.partners`.

    One draw serves the whole batch: the share that clips keep, from Beta(alpha, alpha), and which patches these are. A
    clip of weight 0 stands for a video that cannot be decoded. It is not mixed, nor is its partner.

    Args:
      clips: normalised clips.
      weights: 0 for clips that could not be decoded.
      key: random key.
      alpha: both parameters of the Beta distribution.
      patch: pixels of a side of a patch.
      groups: parts of the batch within which partners are, one for each device that it is split over.

    Returns:
      The mixed clips, and the share of its patches that each has kept. The released code takes the draw itself for the
      share, of which patches keep only a whole number.

    Raises:
      UserError: the batch does not divide into the groups, or a group has fewer than two clips.
    """
    check_mixable(len(clips), groups)
    height, width = clips.shape[2:4]
    share_key, mask_key = jax.random.split(key)
    rows, columns = math.ceil(height / patch), math.ceil(width / patch)
    kept = tube_mask(mask_key, rows, columns, jax.random.beta(share_key, alpha, alpha))
    own = jnp.repeat(jnp.repeat(kept, patch, axis=0), patch, axis=1)[:height, :width]
    paired = (weights > 0) & (partners(weights, groups) > 0)
    chosen = own[None, None, :, :, None] | ~paired[:, None, None, None, None]
    mixed = jnp.where(chosen, clips, partners(clips, groups))
    return mixed, jnp.where(paired, jnp.mean(kept.astype(jnp.float32)), 1.0)


def check_mixable(clips: int, groups: int) -> None:
    """Checks that every clip has a partner to be mixed with.

    Args:
      clips: unlabelled clips of a step.
      groups: as for `mix_tubes`.

    Raises:
      UserError: they do not divide into the groups, or a group has fewer than two.
    """
    if clips % groups or clips < 2 * groups:
        raise UserError(
            f"tube mixing joins unlabelled clips in pairs on each device, but {clips} clips on {groups} devices do not "
            "give each of them two clips or more, and equally many. Change batch_size or unlabelled.per_labelled, or "
            "set unlabelled.mix_weight to 0."
        )


def tube_mask(key: PRNGKeyArray, rows: int, columns: int, share: Float[Array, ""]) -> Bool[Array, "rows columns"]:
    """Draws patches, all sets of as many being equally probable.

    Args:
      key: random key.
      rows: patches along the height.
      columns: patches along the width.
      share: of all patches; their number is rounded down.

    Returns:
      True for the patches that are drawn.
    """
    places = rows * columns
    ranks = jax.random.permutation(key, places)
    return (ranks < jnp.floor(share * places)).reshape(rows, columns)
