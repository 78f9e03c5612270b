"""Masked filling: hidden parts of clips are filled by what is learnt, and predicted (SimMIM, for convolutions too)."""

from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel
from motion_vit.models.filling_network import make_filling_network
from motion_vit.models.video_model import VideoModel
from motion_vit.training.objectives.masked_prediction import (
    MaskedPrediction,
    masked_prediction,
    trace_masked_prediction,
)
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.recipe.config import default_config

_DECODER_FIELDS = ("decoder_depth", "decoder_width", "decoder_heads", "decoder_mask")


def masked_filling(config: ConfigDict, model: VideoModel) -> MaskedPrediction:
    """Makes the objective of a recipe.

    Args:
      config: the recipe.
      model: its model, as it runs on the devices.

    Returns:
      The objective.

    Raises:
      UserError: the model cannot be pretrained so, see `make_filling_network`, the mask hides nothing or all, or fields
        of the recipe are of a decoder.
    """
    defaults = default_config().pretraining
    changed = [name for name in _DECODER_FIELDS if config.pretraining[name] != defaults[name]]
    if changed:
        raise UserError(
            f"config field pretraining.{changed[0]} is {config.pretraining[changed[0]]}, but masked filling has no "
            f"decoder: one linear layer predicts. Leave it at {defaults[changed[0]]}, or, for plain transformers, set "
            'objective to "masked_autoencoding".'
        )
    return masked_prediction(config, make_filling_network(model), model)


def trace_filling_network(config: ConfigDict, num_classes: int) -> TracedModel:
    """Traces the network around a recipe's model for clips of the recipe's shape, without computing anything.

    Args:
      config: the recipe.
      num_classes: classes of the data, which the classifier that comes later tells apart.

    Returns:
      The model, and the variables and costs of the network: the encoder's are those of whole clips.

    Raises:
      UserError: as `masked_filling`, or a field of the recipe is for classifiers.
    """
    model = build_model(config, num_classes).model
    return trace_masked_prediction(config, masked_filling(config, model), model, "the filling network")
