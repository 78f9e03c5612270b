"""Classification of frames that are larger than those of training, square by square.

Source: `models/head_helper.py` of facebookresearch/SlowFast, whose average pool has the size of the training crop and
whose classifier so has several answers to a larger one.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def average_squares(features: Float[Array, "b h w c"], side: int | None) -> Float[Array, "b h2 w2 c"]:
    """Averages the features of every square.

    Args:
      features: features of frames.
      side: rows and columns of a square; one that is larger than a frame is cut to it. None for the whole frame.

    Returns:
      An average for each place where the square fits.
    """
    height, width = features.shape[1:3]
    window = (height, width) if side is None else (min(side, height), min(side, width))
    if window == (height, width):
        return jnp.mean(features, axis=(1, 2), keepdims=True)
    sums = lax.reduce_window(features, 0.0, lax.add, (1, *window, 1), (1, 1, 1, 1), "valid")
    return sums / (window[0] * window[1])


def log_mean_probabilities(logits: Float[Array, "b h w classes"]) -> Float[Array, "b classes"]:
    """Averages the probabilities of all places.

    Args:
      logits: logits of places.

    Returns:
      Logarithms of the mean probabilities, whose softmax these are. Of a single place its logits, as they are.
    """
    if logits.shape[1:3] == (1, 1):
        return logits[:, 0, 0]
    # Of probabilities relative to the largest, so that none of them is too small.
    shares = jax.nn.log_softmax(logits)
    largest = lax.stop_gradient(jnp.max(shares, axis=(1, 2)))
    return jnp.log(jnp.mean(jnp.exp(shares - largest[:, None, None]), axis=(1, 2))) + largest
