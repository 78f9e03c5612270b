"""Mixup and cutmix: blend clips and their targets in pairs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from motion_vit.errors import UserError


def mix(
    clips: Float[Array, "b t h w c"],
    targets: Float[Array, "b classes"],
    weights: Float[Array, " b"],
    key: PRNGKeyArray,
    *,
    mixup_alpha: float,
    cutmix_alpha: float,
    probability: float = 1.0,
    switch_probability: float = 0.5,
    groups: int = 1,
) -> tuple[Float[Array, "b t h w c"], Float[Array, "b classes"]]:
    """Blends every clip and its target with those of its partner.

    Mixup (Zhang et al., arXiv 1710.09412) adds the clips, `share * clip + (1 - share) * partner`. Cutmix (Yun et al.,
    arXiv 1905.04899) pastes a box of the partner, the same in all frames, into the clip, and `share` is the area that
    the clip keeps. Targets are added with the same shares. One draw serves the whole batch: whether it is mixed, by
    which of the two, and `share`, from Beta(alpha, alpha). This follows timm's `Mixup` in mode "batch" and
    `slowfast/datasets/mixup.py` in github.com/facebookresearch/SlowFast.

    The partner of a clip is the clip at its place in the reversed batch. Each of `groups` equal parts is reversed
    separately: if each device holds one part, no clip moves between devices.

    A clip of weight 0 stands for a video that cannot be decoded. It is not mixed, nor is its partner.

    Args:
      clips: normalised clips.
      targets: probabilities that sum to 1 for each clip.
      weights: 0 for padding and for clips that could not be decoded.
      key: random key.
      mixup_alpha: 0 for no mixup.
      cutmix_alpha: 0 for no cutmix.
      probability: of mixing the batch.
      switch_probability: of cutmix where both are on.
      groups: number of parts of the batch within which partners are.

    Returns:
      The clips in their dtype and the targets, which sum to 1 as before.

    Raises:
      UserError: the batch does not divide into the groups, or a group has fewer than two clips.
    """
    if probability == 0 or mixup_alpha == cutmix_alpha == 0:
        return clips, targets
    check_partners(len(clips), groups)
    height, width = clips.shape[2:4]
    own, share = _draw_shares(key, (height, width), mixup_alpha, cutmix_alpha, probability, switch_probability)
    paired = (weights > 0) & (partners(weights, groups) > 0)
    own = jnp.where(paired[:, None, None], own[None], 1.0)[:, None, :, :, None]
    share = jnp.where(paired, share, 1.0)[:, None]
    # In float32, because the targets are mixed with the exact shares.
    wide = clips.astype(jnp.float32)
    mixed = own * wide + (1 - own) * partners(wide, groups)
    return mixed.astype(clips.dtype), share * targets + (1 - share) * partners(targets, groups)


def check_partners(batch_size: int, groups: int) -> None:
    """Checks that every clip has a partner to be mixed with.

    Args:
      batch_size: clips of a step, or of a part of it that is computed at once.
      groups: number of parts of the batch, one for each device that it is split over.

    Raises:
      UserError: the batch does not divide into the groups, or a group has fewer than two clips.
    """
    if batch_size % groups or batch_size < 2 * groups:
        larger = groups * max(2, -(-batch_size // groups))
        raise UserError(
            f'mixup, cutmix and still = "batch" blend clips in pairs on each device, but {batch_size} clips on '
            f"{groups} device{'s' if groups > 1 else ''} do not give each of them two clips or more, and equally many. "
            f"Choose a multiple of {groups} from {2 * groups} on, such as {larger}, or switch them off."
        )


def partners(values: jax.Array, groups: int) -> jax.Array:
    """Gives every clip what its partner has: reverses the values along the batch within each group.

    Args:
      values: `[b, ...]`.
      groups: number of parts of the batch, which divides `b`.

    Returns:
      Values of the same shape.
    """
    grouped = values.reshape(groups, -1, *values.shape[1:])
    return grouped[:, ::-1].reshape(values.shape)


def _draw_shares(
    key: PRNGKeyArray,
    size: tuple[int, int],
    mixup_alpha: float,
    cutmix_alpha: float,
    probability: float,
    switch_probability: float,
) -> tuple[Float[Array, "h w"], Float[Array, ""]]:
    """Draws the share that a clip keeps of each of its pixels and, as their mean, of its target."""
    if mixup_alpha == 0 or cutmix_alpha == 0:
        switch_probability = float(cutmix_alpha > 0)
    share_key, uniform_key = jax.random.split(key)
    apply, switch, centre_row, centre_column = jax.random.uniform(uniform_key, (4,))
    cutmix = switch < switch_probability
    alpha = jnp.where(cutmix, float(cutmix_alpha), float(mixup_alpha))
    share = jnp.where(apply < probability, jax.random.beta(share_key, alpha, alpha), 1.0)
    # The box has the picture's shape and a random centre. Where the border cuts it, the clip keeps more than the draw.
    height, width = size
    rows = _box_side(height, centre_row, share)
    columns = _box_side(width, centre_column, share)
    kept = jnp.where(rows[:, None] & columns[None, :], 0.0, 1.0)
    area = jnp.sum(rows) * jnp.sum(columns)
    return jnp.where(cutmix, kept, share), jnp.where(cutmix, 1.0 - area / (height * width), share)


def _box_side(size: int, centre: Float[Array, ""], share: Float[Array, ""]) -> Bool[Array, " size"]:
    """Marks the positions 0 to `size - 1` in the cutmix box around the centre, which is a share of the side."""
    half = jnp.floor(size * jnp.sqrt(1.0 - share)).astype(jnp.int32) // 2
    middle = jnp.floor(size * centre).astype(jnp.int32)
    positions = jnp.arange(size)
    return (positions >= middle - half) & (positions < middle + half)
