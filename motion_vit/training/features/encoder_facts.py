"""Lists what features depend on: the encoder, its weights, and the clips that it is given."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from motion_vit.models.options import model_options, model_traits
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.weights_fingerprint import weights_fingerprint
from motion_vit.training.recipe.config import flatten

_INPUT_FIELDS = ("frames", "size", "sampling", "fps", "mean", "std", "channel_order")
# Of no effect where frames are spread over the whole video.
_DENSE_FIELDS = ("stride",)
_CLASS = "model"


def encoder_options(model: VideoModel) -> dict[str, Any]:
    """Lists what decides the function of the encoder of frames, besides its weights and the shape of clips.

    Args:
      model: has such an encoder.

    Returns:
      The class of the model, and options by their names, as JSON reads them again.

    Raises:
      UserError: the model has none.
    """
    left_out, traits = model.frame_encoder().options_of_the_rest, model_traits(model)
    options = {
        name: value
        for name, value in model_options(model).items()
        if traits[name].effect == "network" and not traits[name].recipe_field and name not in left_out
    }
    return _through_json({_CLASS: type(model.inner).__name__, **options})


def encoder_fingerprint(model: VideoModel, variables: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of the weights of the encoder of frames.

    Args:
      model: has such an encoder.
      variables: parameters and running statistics of the whole model, that this process can read.

    Raises:
      UserError: the model has none.
    """
    return weights_fingerprint(encoder_variables(model, variables))


def encoder_variables(model: VideoModel, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the parameters and running statistics of the encoder of frames.

    Args:
      model: has such an encoder.
      variables: those of the whole model.

    Returns:
      The same nesting, with some of the leaves.

    Raises:
      UserError: the model has none.
    """
    encoder = model.frame_encoder()
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    chosen = {path: leaf for path, leaf in flat.items() if encoder.has(path.partition("/")[2])}
    selected: dict[str, Any] = traverse_util.unflatten_dict(chosen, sep="/")
    return selected


def input_fields(config: ConfigDict) -> dict[str, Any]:
    """Lists the fields of a recipe that decide the clips of an evaluation, as JSON reads them again.

    Args:
      config: the recipe.

    Returns:
      Dotted name -> value.
    """
    names: Sequence[str] = (*_INPUT_FIELDS, *(_DENSE_FIELDS if config.data.sampling == "dense" else ()))
    fields = flatten(config)
    return _through_json({f"data.{name}": fields[f"data.{name}"] for name in names})


def _through_json(values: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(values))
    return read
