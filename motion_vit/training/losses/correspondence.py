"""Losses that teach cost volumes where patches went, without labels: which a recipe asks for, and on which layers."""

import dataclasses
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.frame_offset import MODELS_WITH_COST_VOLUMES, frame_offset
from motion_vit.models.video_model import VideoModel
from motion_vit.training.losses.photometric import photometric_loss
from motion_vit.training.losses.random_walk import random_walk_loss


class ClipLoss(NamedTuple):
    """A loss of each clip, with and without its weight."""

    weighted: Float[Array, " b"]
    plain: Float[Array, " b"]


@dataclasses.dataclass(frozen=True)
class CorrespondenceLosses:
    """Losses on the cost volumes of all layers of a model, in the mean over the layers.

    Attributes:
      photometric: weight of the photometric loss, see `photometric_loss`; 0 leaves it out.
      smoothness: see `photometric_loss`.
      walk: weight of the contrastive random walk, see `random_walk_loss`; 0 leaves it out.
      edge_dropout: see `random_walk_loss`.
    """

    photometric: float = 0.0
    smoothness: float = 0.1
    walk: float = 0.0
    edge_dropout: float = 0.1

    def __call__(
        self, model: VideoModel, cost_volumes: Any, clips: Float[Array, "b t h w 3"], key: PRNGKeyArray
    ) -> dict[str, ClipLoss]:
        """Computes the losses that have a weight.

        Args:
          model: whose cost volumes they are.
          cost_volumes: its collection `cost_volumes` after a forward pass.
          clips: the normalised clips of that pass.
          key: of the draws of edges to drop.

        Returns:
          The losses, by the names `photometric` and `walk`.
        """
        offset = frame_offset(model)
        photometric, walk = [], []
        flat = traverse_util.flatten_dict(dict(cost_volumes), sep="/")
        for number, (name, (volume,)) in enumerate(flat.items()):
            backward = name.endswith("_backward")
            if self.photometric:
                layout = model.token_layout(name, clips.shape[1:])
                signed = -offset if backward else offset
                photometric.append(
                    photometric_loss(volume, clips, layout, frame_offset=signed, smoothness=self.smoothness)
                )
            if self.walk and not backward:  # a walk goes both ways on the forward pairs
                draws = jax.random.fold_in(key, number)
                walk.append(random_walk_loss(volume, draws, frame_offset=offset, edge_dropout=self.edge_dropout))
        losses = {"photometric": (self.photometric, photometric), "walk": (self.walk, walk)}
        means = {name: (weight, jnp.mean(jnp.stack(each), axis=0)) for name, (weight, each) in losses.items() if each}
        return {name: ClipLoss(weight * mean, mean) for name, (weight, mean) in means.items()}


def correspondence_losses(config: ConfigDict, model: VideoModel) -> CorrespondenceLosses | None:
    """Makes the losses on cost volumes that a recipe asks for.

    Args:
      config: the recipe.
      model: whose cost volumes they are.

    Returns:
      The losses, None if all weights are 0.

    Raises:
      UserError: the model has no cost volumes, or all of them are in layers that it freezes.
    """
    losses = CorrespondenceLosses(**config.loss.correspondence.to_dict())
    if not losses.photometric and not losses.walk:
        return None
    if not model.cost_volume_stages():
        raise UserError(
            f"config fields loss.correspondence.* ask for losses on cost volumes, but {config.model.name!r} with its "
            f"options has none. There are some in {MODELS_WITH_COST_VOLUMES}. Take one, or set the weights to 0."
        )
    stages, frozen = model.cost_volume_stages(), model.frozen_patterns()
    if all(any(re.fullmatch(pattern, f"{stage}/") for pattern in frozen) for stage in stages):
        raise UserError(
            f"config fields loss.correspondence.* ask for losses on cost volumes, but {config.model.name!r} with its "
            f"options freezes all layers that have some, {', '.join(stages)}: nothing would be learned. Set the "
            "weights to 0, or the model's option that freezes them to 'none'."
        )
    return losses
