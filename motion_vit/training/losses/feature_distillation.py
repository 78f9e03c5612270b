"""The loss between the features of a student and those of a teacher (hints).

Source: FitNets (Romero et al., ICLR 2015, arXiv 1412.6550), section 2.2 and equation 3: a layer that is trained with
the student, and thrown away, brings its features to the width of the teacher's. Their loss is the squared error. Here
it is one minus the cosine, half the squared error of features of unit length: networks of other kinds have features of
other scales.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

_EPSILON = 1e-12


def on_common_tokens(
    student: Float[Array, "b *tokens c"], teacher: Float[Array, "b2 *tokens2 c2"], clips: int
) -> tuple[Float[Array, "clips n c"], Float[Array, "clips n c2"]]:
    """Brings the features of two networks to the same tokens.

    Args:
      student: features; of networks that see frames by themselves, the frames of a clip one after the other.
      teacher: likewise.
      clips: of the batch.

    Returns:
      Both, token by token where they lie on the same grid; else, for each clip, the mean over all tokens.
    """
    same_grid = student.shape[:-1] == teacher.shape[:-1]
    ours, theirs = (values.reshape(clips, -1, values.shape[-1]) for values in (student, teacher))
    if same_grid:
        return ours, theirs
    return jnp.mean(ours, axis=1, keepdims=True), jnp.mean(theirs, axis=1, keepdims=True)


def feature_loss(projected: Float[Array, "b n c"], taught: Float[Array, "b n c"]) -> Float[Array, " b"]:
    """Computes the loss of each clip: the mean over its tokens of one minus the cosine.

    Args:
      projected: features of the student, of the teacher's width, in float32.
      taught: features of the teacher, in float32.

    Returns:
      Numbers from 0, for the same directions, to 2; 1 for a token that is zero.
    """
    return jnp.mean(1.0 - jnp.sum(_unit(projected) * _unit(taught), axis=-1), axis=-1)


def _unit(values: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
    """Divides by the length; the gradient at zero is zero, not NaN."""
    squares = jnp.sum(jnp.square(values), axis=-1, keepdims=True)
    return values / jnp.sqrt(jnp.maximum(squares, _EPSILON))
