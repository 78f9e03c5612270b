"""The contribution of a part of a batch to a step, and the forward passes that it is computed by."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Generic

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.models.video_model import VideoModel
from motion_vit.training.step.regex_rules import Tree
from motion_vit.training.step.split_parameters import gathered_where_read
from motion_vit.training.step.state import Leaf


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outcome(Generic[Leaf]):
    """The contribution of one part of a batch, or its shapes; those of parts add up.

    Attributes:
      loss: sum of the losses, divided by the weight of the whole batch.
      grads: its gradient.
      correct: sum of the weights of clips that are classified right.
      batch_stats: new running statistics, of which the mean is taken instead.
      summaries: numbers of the model's collection `summaries` by name, of which the mean is taken instead.
    """

    loss: Leaf
    grads: Tree
    correct: Leaf
    batch_stats: Tree
    summaries: dict[str, Leaf]


@dataclasses.dataclass(frozen=True)
class ForwardPass:
    """Applies a model to normalised clips.

    Attributes:
      model: as it runs on the mesh.
      sharding: `NamedSharding` of every parameter, which are gathered where a layer reads them.
      frozen: a tree of bool over the parameters: of which no gradient is computed; {} for none.
    """

    model: VideoModel
    sharding: Tree
    frozen: Tree

    def train(
        self,
        params: Tree,
        batch_stats: Tree,
        clips: Float[Array, "b t h w 3"],
        key: PRNGKeyArray,
        collections: Sequence[str] = (),
    ) -> tuple[Float[Array, "b classes"], dict[str, Any]]:
        """Classifies clips as in training.

        Args:
          params: parameters.
          batch_stats: running statistics before.
          clips: normalised.
          key: of dropout.
          collections: what the model is to store, besides `batch_stats`, `losses` and `summaries`.

        Returns:
          Logits in float32, and what the model has stored.
        """
        if self.frozen:
            params = jax.tree.map(
                lambda leaf, stays: jax.lax.stop_gradient(leaf) if stays else leaf, params, self.frozen
            )
        logits, stored = self.model.apply(
            {"params": gathered_where_read(params, self.sharding), "batch_stats": batch_stats},
            clips,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats", "losses", "summaries", *collections],
        )
        return jnp.asarray(logits, jnp.float32), dict(stored)

    def evaluate(
        self, params: Tree, batch_stats: Tree, clips: Float[Array, "b t h w 3"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b classes"]:
        """Classifies clips as in evaluation.

        Args:
          params: parameters, or their averages.
          batch_stats: running statistics.
          clips: normalised.
          key: of dropout, where a caller switches it on; see `motion_vit.training.step.dropout_passes`.

        Returns:
          Logits in float32.
        """
        logits = self.model.apply(
            {"params": gathered_where_read(params, self.sharding), "batch_stats": batch_stats},
            clips,
            train=False,
            rngs={} if key is None else {"dropout": key},
        )
        return jnp.asarray(logits, jnp.float32)


def correct_clips(
    logits: Float[Array, "b classes"], targets: Float[Array, "b classes"], weights: Float[Array, " b"]
) -> Float[Array, ""]:
    """Sums the weights of the clips whose largest logit is that of the largest target, and whose logits are finite."""
    # To argmax, NaN is the largest of all.
    right = jnp.isfinite(logits).all(axis=-1) & (jnp.argmax(logits, -1) == jnp.argmax(targets, -1))
    return jnp.sum(jnp.where(right, weights, 0.0))


def by_path(summaries: Tree) -> dict[str, jax.Array]:
    """Flattens what modules stored to "/"-joined paths; each stored one number under a name."""
    flat = traverse_util.flatten_dict(dict(summaries), sep="/")
    return {path: values[0].astype(jnp.float32) for path, values in flat.items()}
