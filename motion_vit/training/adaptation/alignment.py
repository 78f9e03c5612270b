"""The losses of adaptation: alignment of statistics and agreement of views (ViTTA), and entropy (Tent)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.training.adaptation.norm_layers import LayerStatistics, channel_statistics

Statistics = Mapping[str, LayerStatistics]
"""Path of a layer -> mean and variance of each of its channels."""


def running_statistics(outputs: Mapping[str, Array], earlier: Statistics, alpha: float) -> dict[str, LayerStatistics]:
    """Moves running statistics towards those of the current video.

    Args:
      outputs: of layers, over all views together.
      earlier: running statistics up to the video before, of the layers that are wanted. No gradient reaches them.
      alpha: share of the current video.

    Returns:
      `alpha * current + (1 - alpha) * earlier`, of means and of biased variances.
    """
    return {
        layer: LayerStatistics(
            *(
                alpha * new + (1 - alpha) * jax.lax.stop_gradient(old)
                for new, old in zip(channel_statistics(outputs[layer]), before, strict=True)
            )
        )
        for layer, before in earlier.items()
    }


def alignment_loss(running: Statistics, source: Statistics) -> Float[Array, ""]:
    """Compares statistics with those of the source.

    Args:
      running: those of test videos.
      source: those of the source data, of the same layers.

    Returns:
      The sum over layers of the mean absolute differences of means and of variances over channels (equation of the
      authors' code; the paper writes norms, which are larger by the number of channels).
    """
    differences = [
        jnp.mean(jnp.abs(now - then))
        for layer, statistics in running.items()
        for now, then in zip(statistics, source[layer], strict=True)
    ]
    return sum(differences, start=jnp.zeros(()))


def consistency_loss(logits: Float[Array, "views classes"]) -> Float[Array, ""]:
    """Measures how far the predictions of views are apart.

    Args:
      logits: of the views of a video.

    Returns:
      The sum over classes of absolute differences from the mean probabilities of the views, averaged over views: 0
      where they agree. The gradient also flows through the mean.
    """
    probabilities = jax.nn.softmax(logits)
    away = jnp.abs(probabilities - jnp.mean(probabilities, axis=0, keepdims=True))
    return jnp.mean(jnp.sum(away, axis=1))


def entropy_loss(logits: Float[Array, "views classes"]) -> Float[Array, ""]:
    """Measures how unsure the predictions of views are.

    Args:
      logits: of the views of a video.

    Returns:
      The mean entropy of their probabilities, in nats.
    """
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(jnp.exp(log_probabilities) * log_probabilities, axis=1))
