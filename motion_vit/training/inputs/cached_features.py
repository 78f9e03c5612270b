"""The features that a recipe trains on, in the place of clips."""

import jax
import numpy as np
from ml_collections import ConfigDict

from motion_vit.data.features.description import read_description
from motion_vit.errors import UserError
from motion_vit.files.local_path import local_path
from motion_vit.models.checked_model import TracedModel
from motion_vit.models.part_costs import PartCost
from motion_vit.models.video_model import VideoModel


def cached_tokens(config: ConfigDict) -> jax.ShapeDtypeStruct | None:
    """Says what the tokens of a clip are, where a recipe trains on features.

    Args:
      config: the recipe.

    Returns:
      Frames, tokens of a frame and channels, and the stored dtype; None for a recipe that trains on videos.

    Raises:
      UserError: there are no such features.
    """
    if not config.data.features:
        return None
    described = read_description(local_path(config.data.features))
    return jax.ShapeDtypeStruct(described.shape, np.dtype(described.dtype))


def check_frozen_encoder(model: VideoModel) -> None:
    """Checks that a model has an encoder of frames, and that training leaves it as it is.

    Args:
      model: of the recipe.

    Raises:
      UserError: it has none, or trains it.
    """
    try:
        encoder = model.frame_encoder()
    except UserError as error:
        raise UserError(f"config field data.features: {error}") from error
    if not encoder.is_frozen:
        raise UserError(
            f"config field data.features is given, but the model trains its encoder of frames, whose features would "
            f"change. Freeze it: --config.model.options.{encoder.how_to_freeze}."
        )


def costs_after_encoder(traced: TracedModel) -> dict[str, PartCost]:
    """Lists what the parts of a model cost that are run on tokens of frames.

    Args:
      traced: a model with an encoder of frames.

    Returns:
      Costs for one clip of all parts but those of the encoder.
    """
    encoder = traced.model.frame_encoder()
    return {part: cost for part, cost in traced.costs.items() if not encoder.has(f"{part}/")}
