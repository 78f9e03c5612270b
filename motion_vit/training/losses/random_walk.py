"""The contrastive random walk on cost volumes: who walks to later frames and back should end where it began.

Source: Jabri, Owens, Efros, "Space-time correspondence as a contrastive random walk" (arXiv 2006.14613), equations 2 to
4 and section 3.3. There the affinities are of patches encoded one by one; here they are those of cost-volume attention,
whose tokens know their place. A walk that never leaves its place then returns as well, so that by itself this loss
teaches that nothing moves: see docs/motion_losses.md.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from motion_vit.ops.displacement import CostVolume, window_of
from motion_vit.ops.window_geometry import displacement_of_key

# Keeps the logarithm of a return that is out of reach finite (as in the authors' code).
_LEAST_PROBABILITY = 1e-20

Transitions = Float[Array, "b n q k"]


def random_walk_loss(
    cost_volume: CostVolume, key: PRNGKeyArray, *, frame_offset: int = 1, edge_dropout: float = 0.1
) -> Float[Array, " b"]:
    """Cross entropy of returning to one's patch, over walks of all lengths from the first frame, there and back.

    A step goes from a patch to one of its neighbourhood in the paired frame, by the softmax of its affinities; a step
    back goes by the softmax of the same affinities over the patches that could have come from. Heads are averaged as
    probabilities. Steps that leave the image are left out.

    Args:
      cost_volume: affinities of frames `n` and `n + frame_offset`.
      key: of the draws of edges to drop.
      frame_offset: distance of the frames of a pair, above 0: walks start in each of so many first frames.
      edge_dropout: probability that a patch cannot be reached from another one in a step.

    Returns:
      The loss of each clip.
    """
    there, back = transitions(cost_volume, key, edge_dropout)
    pairs, patches = there.shape[1], there.shape[2]
    start = jnp.broadcast_to(jnp.eye(patches), (there.shape[0], patches, patches))
    losses = []
    for first in range(min(frame_offset, pairs)):
        gone = returned = start
        for step in range(first, pairs, frame_offset):
            gone = gone @ there[:, step]
            returned = back[:, step] @ returned
            at_home = jnp.einsum("bij,bji->bi", gone, returned)
            losses.append(-jnp.mean(jnp.log(at_home + _LEAST_PROBABILITY), axis=-1))
    return jnp.mean(jnp.stack(losses), axis=0)


def transitions(
    cost_volume: CostVolume, key: PRNGKeyArray, edge_dropout: float = 0.0
) -> tuple[Transitions, Transitions]:
    """Computes the probabilities of steps between all patches of paired frames, there and back.

    Args:
      cost_volume: see `random_walk_loss`.
      key: see `random_walk_loss`.
      edge_dropout: see `random_walk_loss`.

    Returns:
      `[b, n, q, k]` from patch `q` of the first to patch `k` of the second frame of a pair, and `[b, n, k, q]` back;
      rows have a sum of 1.
    """
    batch, pairs, height, width, heads, displacements = cost_volume.shape
    displacement, reached = displacement_of_key(height, width, window_of(cost_volume))
    by_head = jnp.moveaxis(cost_volume.reshape(batch, pairs, height * width, heads, displacements), 3, 2)
    affinity = jnp.take_along_axis(by_head.astype(jnp.float32), jnp.asarray(displacement)[None, None, None], axis=-1)
    there_key, back_key = jax.random.split(key)
    edges = jnp.broadcast_to(jnp.asarray(reached), (batch, pairs, 1, *reached.shape))
    there = _probabilities(affinity, _some(edges, there_key, edge_dropout))
    back = _probabilities(jnp.swapaxes(affinity, -1, -2), _some(jnp.swapaxes(edges, -1, -2), back_key, edge_dropout))
    return there, back


def _probabilities(affinity: Float[Array, "b n heads q k"], edges: Bool[Array, "b n 1 q k"]) -> Transitions:
    return jnp.mean(jax.nn.softmax(affinity, axis=-1, where=edges), axis=2)


def _some(edges: Bool[Array, "b n 1 q k"], key: PRNGKeyArray, dropout: float) -> Bool[Array, "b n 1 q k"]:
    """Edges without those that are dropped; a patch that would lose all of its edges keeps them."""
    kept = edges & jax.random.bernoulli(key, 1 - dropout, edges.shape)
    return jnp.where(jnp.any(kept, axis=-1, keepdims=True), kept, edges)
