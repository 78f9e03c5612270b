"""Random scores of places, of which the largest stay visible: one draw for all frames (tubes), or one for each."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def tube_scores(key: PRNGKeyArray, clips: int, frames: int, places: int) -> Float[Array, "b t places"]:
    """Draws scores that are the same in all frames of a clip.

    What is hidden in one frame so cannot be read from the next (VideoMAE, arXiv 2203.12602, section 3.2; the published
    choice). All sets of places of one size are equally likely.

    Args:
      key: fixes the draw.
      clips: how many.
      frames: frames of tokens.
      places: places of a frame.

    Returns:
      The scores.
    """
    scores = jax.random.uniform(key, (clips, 1, places))
    return jnp.broadcast_to(scores, (clips, frames, places))


def frame_scores(key: PRNGKeyArray, clips: int, frames: int, places: int) -> Float[Array, "b t places"]:
    """Draws scores for each frame by itself: the random mask that VideoMAE compares tubes with.

    Theirs draws from all tokens of a clip at once; here each frame has the same number of visible ones.

    Args:
      key: fixes the draw.
      clips: how many.
      frames: frames of tokens.
      places: places of a frame.

    Returns:
      The scores.
    """
    return jax.random.uniform(key, (clips, frames, places))
