"""The objectives, by the name that the recipe field `objective` takes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from jax.sharding import Mesh
from ml_collections import ConfigDict

from motion_vit.models.checked_model import TracedModel
from motion_vit.models.video_model import VideoModel
from motion_vit.training.objectives.masked_autoencoding import masked_autoencoding, trace_masked_autoencoder
from motion_vit.training.objectives.objective import Objective
from motion_vit.training.objectives.semi_supervised import semi_supervised
from motion_vit.training.recipe.checks import build_model
from motion_vit.training.recipe.objective_name import ObjectiveName
from motion_vit.training.step.train_step import StepSettings, classification_of, model_on_mesh


class ObjectiveKind(NamedTuple):
    """The functions that make an objective of a recipe.

    Attributes:
      trace: traces the network that learns, from the recipe and the number of classes.
      make: makes the objective, from the recipe, its model as it runs on the devices, the settings of the step and the
        devices.
    """

    trace: Callable[[ConfigDict, int], TracedModel]
    make: Callable[[ConfigDict, VideoModel, StepSettings, Mesh], Objective]


def _classification(config: ConfigDict, model: VideoModel, settings: StepSettings, mesh: Mesh) -> Objective:
    """Makes the objective of a classifier, which may learn from unlabelled clips, too."""
    labelled = classification_of(settings, model, mesh)
    return semi_supervised(config, labelled) if config.unlabelled.data else labelled


_OBJECTIVES: Mapping[ObjectiveName, ObjectiveKind] = {
    "classification": ObjectiveKind(build_model, _classification),
    "masked_autoencoding": ObjectiveKind(
        trace_masked_autoencoder, lambda config, model, settings, mesh: masked_autoencoding(config, model)
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
