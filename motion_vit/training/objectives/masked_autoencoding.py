"""Masked autoencoding: the visible parts of clips alone are encoded, and the hidden ones are predicted (VideoMAE)."""

from ml_collections import ConfigDict

from motion_vit.models.checked_model import TracedModel
from motion_vit.models.masked_autoencoder import make_masked_autoencoder
from motion_vit.models.video_model import VideoModel
from motion_vit.training.objectives.masked_prediction import (
    MaskedPrediction,
    masked_prediction,
    trace_masked_prediction,
)
from motion_vit.training.recipe.checks import build_model


def masked_autoencoding(config: ConfigDict, model: VideoModel) -> MaskedPrediction:
    """Makes the objective of a recipe.

    Args:
      config: the recipe.
      model: its model, as it runs on the devices.

    Returns:
      The objective.

    Raises:
      UserError: the model cannot be pretrained so, see `make_masked_autoencoder`, or the mask hides nothing or all.
    """
    fields = config.pretraining
    network = make_masked_autoencoder(
        model,
        decoder_depth=fields.decoder_depth,
        decoder_width=fields.decoder_width,
        decoder_heads=fields.decoder_heads,
    )
    return masked_prediction(config, network, model)


def trace_masked_autoencoder(config: ConfigDict, num_classes: int) -> TracedModel:
    """Traces the autoencoder around a recipe's model for clips of the recipe's shape, without computing anything.

    Args:
      config: the recipe.
      num_classes: classes of the data, which the classifier that comes later tells apart.

    Returns:
      The model, and the variables and costs of the autoencoder: the encoder's are those of the visible tokens.

    Raises:
      UserError: as `masked_autoencoding`, or a field of the recipe is for classifiers.
    """
    model = build_model(config, num_classes).model
    objective = masked_autoencoding(config, model)
    return trace_masked_prediction(config, objective, model, "the masked autoencoder")
