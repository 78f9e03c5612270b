"""Motion from a cost volume: the distribution over displacements, its mean, and its confidence.

A softmax over the affinities of a patch with its `K x K` neighbourhood in another frame is a distribution over
displacements. Displacements that leave the image are excluded, although the model itself includes padding in its
softmax.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.ops.window_geometry import inside_image

CostVolume = Float[Array, "b n h w heads p"]
HeadChoice = Literal["mean", "each"] | int
"""The distributions of all heads averaged, each head by itself, or one head alone."""


def displacement_weights(
    cost_volume: CostVolume, *, temperature: float = 1.0, heads: HeadChoice = "mean"
) -> Float[Array, "b *head n h w p"]:
    """Computes the probability of each displacement; those that leave the image have weight 0.

    Args:
      cost_volume: affinities, of EMIM's intermediate `cost_volume` or of `patch_feature_cost_volume`.
      temperature: divisor of the affinities before the softmax: 1 for the model's own, less for sharper weights.
      heads: "mean", "each" or the number of a head.

    Returns:
      Weights with a sum of 1, `[b, n, h, w, K * K]`; with heads "each" `[b, heads, n, h, w, K * K]`.

    Raises:
      UserError: the temperature is not positive, the layer does not have the head, or the array is no cost volume.
    """
    window = window_of(cost_volume)
    if not temperature > 0:
        raise UserError(f"the temperature of a softmax must be above 0; given {temperature:g}")
    count = cost_volume.shape[4]
    if isinstance(heads, int):
        if not 0 <= heads < count:
            raise UserError(f"the layer has the heads 0 to {count - 1}; given {heads}")
        cost_volume = cost_volume[:, :, :, :, heads : heads + 1]
    by_head = jnp.moveaxis(cost_volume, 4, 1).astype(jnp.float32) / jnp.float32(temperature)
    inside = jnp.asarray(inside_image(cost_volume.shape[2], cost_volume.shape[3], window))
    weights = jax.nn.softmax(by_head, axis=-1, where=inside[None, None, None])
    return weights if heads == "each" else jnp.mean(weights, axis=1)


def mean_displacement(
    weights: Float[Array, "*shape h w p"],
) -> tuple[Float[Array, "*shape h w 2"], Float[Array, "*shape h w"]]:
    """Computes the expected displacement (the soft-argmax of optical flow networks) and its confidence.

    Near the border, the remaining displacements point inwards, so that a patch without information would seem to move
    there. Therefore the mean of the remaining displacements, times one minus the confidence, is subtracted. For a
    certain displacement mixed with a flat rest, in shares of the confidence and one minus it, the certain share
    remains. This is also the result away from the border, where nothing is subtracted. In general it is an
    approximation.

    Args:
      weights: of `displacement_weights`.

    Returns:
      The displacement to the right and down, in patches, and the confidence: one minus the entropy relative to the
      uniform distribution, from 0 (all displacements are equally likely) to 1 (one is certain).
    """
    window = math.isqrt(weights.shape[-1])
    shift = np.arange(window, dtype=np.float32) - window // 2
    down, right = np.meshgrid(shift, shift, indexing="ij")
    directions = jnp.asarray(np.stack([right, down], axis=-1).reshape(-1, 2), weights.dtype)
    inside = inside_image(weights.shape[-3], weights.shape[-2], window)
    # A window of one displacement knows all there is to know.
    most = jnp.asarray(np.maximum(np.log(inside.sum(axis=-1)), np.finfo(np.float32).tiny), weights.dtype)
    entropy = -jnp.sum(jax.scipy.special.xlogy(weights, weights), axis=-1)
    confidence = jnp.clip(1 - entropy / most.reshape((1,) * (entropy.ndim - 2) + most.shape), 0, 1)
    inwards = jnp.asarray(inside / inside.sum(axis=-1, keepdims=True), weights.dtype) @ directions
    inwards = inwards.reshape((1,) * (entropy.ndim - 2) + inwards.shape)
    return weights @ directions - (1 - confidence[..., None]) * inwards, confidence


def window_of(cost_volume: CostVolume) -> int:
    """Returns the side of a cost volume's neighbourhood.

    Args:
      cost_volume: see `displacement_weights`.

    Raises:
      UserError: the array is no cost volume.
    """
    window = math.isqrt(cost_volume.shape[-1]) if cost_volume.ndim == 6 else 0
    if window * window != cost_volume.shape[-1] or window % 2 == 0:
        raise UserError(
            f"expected a cost volume [batch, pairs, rows, columns, heads, K * K] with an odd K, given the shape "
            f"{cost_volume.shape}"
        )
    return window
