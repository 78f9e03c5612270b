"""Models whose answers are known: what they look at is planted."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class BoxBrightness(nn.Module):
    """The logit of class 1 is ten times the mean of the pixels of a box of space and time; others are constant."""

    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    num_classes: int = 3

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        (first, stop), (top, bottom), (left, right) = self.box
        seen = 10 * clips[:, first:stop, top:bottom, left:right].mean(axis=(1, 2, 3, 4))
        return jnp.stack([jnp.full_like(seen, 2.0), seen, jnp.full_like(seen, -1.0)], axis=-1)


class BoxMotion(nn.Module):
    """The logit of class 0 is a multiple of the mean change from frame to frame in a part of the picture."""

    box: tuple[tuple[int, int], tuple[int, int]]
    num_classes: int = 2

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        (top, bottom), (left, right) = self.box
        change = jnp.abs(jnp.diff(clips[:, :, top:bottom, left:right], axis=1)).mean(axis=(1, 2, 3, 4))
        return jnp.stack([20 * change, jnp.full_like(change, 5.0)], axis=-1)


class Curved(nn.Module):
    """Sums of a smooth, curved function of each pixel, with other weights for each class."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, clips: jax.Array, train: bool = False) -> jax.Array:
        flat = clips.reshape(len(clips), -1)
        weights = jnp.sin(jnp.arange(flat.shape[1], dtype=jnp.float32))
        return jnp.stack([jnp.tanh(flat) @ weights, (flat**3) @ jnp.flip(weights)], axis=-1)
