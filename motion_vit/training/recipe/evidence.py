"""Tells from a recipe what the logits of its model mean."""

from typing import cast

from ml_collections import ConfigDict

from motion_vit.training.losses.evidence import EvidenceName
from motion_vit.training.losses.registry import all_loss_options


def trained_evidence(config: ConfigDict) -> EvidenceName | None:
    """Tells what makes evidence of the logits of a model that was trained with a recipe.

    Args:
      config: the recipe.

    Returns:
      The option `evidence` of the loss "evidential"; None for any other loss, after which logits are those of the
      softmax.
    """
    if config.loss.name != "evidential":
        return None
    return cast(EvidenceName, all_loss_options("evidential", config.loss.options.to_dict())["evidence"])
