"""The objectives, by the name that the recipe field `objective` takes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.checked_model import TracedModel
from motion_vit.models.masked_autoencoder import ENCODER_PARTS
from motion_vit.models.video_model import VideoModel
from motion_vit.training.objectives.masked_autoencoding import masked_autoencoding, trace_masked_autoencoder
from motion_vit.training.objectives.masked_filling import masked_filling, trace_filling_network
from motion_vit.training.objectives.masked_prediction import MaskedPrediction
from motion_vit.training.objectives.objective import Objective
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.recipe.objective_name import ObjectiveName
from motion_vit.training.step.train_step import StepSettings, classification_of, model_on_mesh


class ObjectiveKind(NamedTuple):
    """The functions that make an objective of a recipe.

    Attributes:
      trace: traces the network that learns, from the recipe and the number of classes.
      make: makes the objective, from the recipe, its model as it runs on the devices, the settings of the step and the
        devices.
      pretraining: of an objective without labels; None for classification.
    """

    trace: Callable[[ConfigDict, int], TracedModel]
    make: Callable[[ConfigDict, VideoModel, StepSettings, Mesh], Objective]
    pretraining: "Pretraining | None" = None


class Pretraining(NamedTuple):
    """The functions of an objective without labels.

    Attributes:
      make: makes the objective, from the recipe and its model.
      encoder_parts: from the model, what the names of the network's layers that a classifier has, too, start with; the
        others end with pretraining.
    """

    make: Callable[[ConfigDict, VideoModel], MaskedPrediction]
    encoder_parts: Callable[[VideoModel], tuple[str, ...]]

    def is_of_encoder(self, model: VideoModel, path: str, prefix: str = "") -> bool:
        """Tells if a variable is one of the encoder, which a classifier has, too.

        Args:
          model: the recipe's.
          path: of the variable, with its collection in front, such as `params/blocks/block0/norm1/scale`.
          prefix: that of the classifier's variables behind an input adapter.
        """
        return path.partition("/")[2].startswith(tuple(f"{prefix}{part}/" for part in self.encoder_parts(model)))


def _without_labels(
    trace: Callable[[ConfigDict, int], TracedModel],
    make: Callable[[ConfigDict, VideoModel], MaskedPrediction],
    encoder_parts: Callable[[VideoModel], tuple[str, ...]],
) -> ObjectiveKind:
    return ObjectiveKind(
        trace, lambda config, model, settings, mesh: make(config, model), Pretraining(make, encoder_parts)
    )


_OBJECTIVES: Mapping[ObjectiveName, ObjectiveKind] = {
    "classification": ObjectiveKind(
        build_model, lambda config, model, settings, mesh: classification_of(settings, model, mesh)
    ),
    "masked_autoencoding": _without_labels(trace_masked_autoencoder, masked_autoencoding, lambda model: ENCODER_PARTS),
    "masked_filling": _without_labels(
        trace_filling_network, masked_filling, lambda model: model.feature_encoder().parts
    ),
}


def trace_network(config: ConfigDict, num_classes: int) -> TracedModel:
    """Traces the network that a recipe trains, without computing anything.

    Args:
      config: the recipe.
      num_classes: classes of its data.

    Returns:
      The recipe's model, and what tracing the network has told: the model itself, or one around it.

    Raises:
      UserError: the recipe cannot be used.
    """
    return _OBJECTIVES[config.objective].trace(config, num_classes)


def make_objective(config: ConfigDict, model: VideoModel, settings: StepSettings, mesh: Mesh) -> Objective:
    """Makes what a recipe minimises.

    Args:
      config: the recipe.
      model: the recipe's.
      settings: those of the recipe's step.
      mesh: devices that it runs on.

    Returns:
      The objective, on these devices.

    Raises:
      UserError: the recipe cannot be used, or frames are to be split and the model cannot.
    """
    return _OBJECTIVES[config.objective].make(config, model_on_mesh(model, mesh), settings, mesh)


def pretraining_of(config: ConfigDict) -> Pretraining:
    """Looks up what a recipe without labels pretrains.

    Args:
      config: the recipe.

    Raises:
      UserError: it is one of a classifier.
    """
    pretraining = _OBJECTIVES[config.objective].pretraining
    if pretraining is None:
        raise UserError(f"config field objective is {config.objective!r}, which pretrains nothing.")
    return pretraining
