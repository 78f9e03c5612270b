"""Reads the features of videos: what the classifier of a model is given."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from motion_vit.data.sources.clip_source import ClipSource
from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.evaluation.evaluate import VideoOutputs, ViewOptions, mean_outputs
from motion_vit.training.inputs.normalization import Normalization, normalization
from motion_vit.training.parallel import mesh as meshes
from motion_vit.training.recipe.clips import clip_options

FeaturesFunction = Callable[[Any, UInt8[Array, "b t h w 3"]], Float[Array, "b c"]]


def classifier_input(model: VideoModel, variables: Any, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b c"]:
    """Runs a model in evaluation mode up to its classifier.

    Args:
      model: of `motion_vit.create_model`; its `classifier` names the layer.
      variables: its parameters and running statistics.
      clips: normalised clips.

    Returns:
      What the layer is given, in float32; the mean over places, where it classifies each of several.

    Raises:
      UserError: the model calls no such layer.
    """
    path = tuple(model.classifier.split("/"))
    given: list[jax.Array] = []

    def look(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        # Other methods are also called where a module has no path yet.
        if context.method_name == "__call__" and context.module.path == path:
            given.append(args[0])
        return call(*args, **kwargs)

    with nn.intercept_methods(look):
        model.apply(variables, clips, train=False)
    if not given:
        raise UserError(
            f"{type(model).__name__} calls no layer {model.classifier!r}, whose input are the features. Its property "
            "`classifier` must name the layer that makes the logits."
        )
    features = given[0].astype(jnp.float32)
    return features.reshape(len(clips), -1, features.shape[-1]).mean(axis=1)


def make_features_function(model: VideoModel, normalize: Normalization, mesh: Mesh) -> FeaturesFunction:
    """Compiles the features of a model, when it is first called.

    Args:
      model: of `motion_vit.create_model`.
      normalize: pixels to inputs.
      mesh: devices that the batch is split over.

    Returns:
      A function of the variables and of uint8 clips, whole on every device.
    """

    def features(variables: Any, clips: UInt8[Array, "b t h w 3"]) -> Float[Array, "b c"]:
        with meshes.in_context(mesh):
            return classifier_input(model, variables, normalize(clips))

    return jax.jit(features, out_shardings=meshes.replicated(mesh))


class FeatureReader:
    """Reads the features of videos with one compiled program.

    Args:
      trained: the model and its weights, on the mesh.
      views: views of each video, whose features are averaged.
      mesh: devices that batches are split over.
    """

    def __init__(self, trained: TrainedModel, views: ViewOptions, mesh: Mesh) -> None:
        self._trained, self._views, self._mesh = trained, views, mesh
        self._features = make_features_function(trained.model, normalization(trained.config), mesh)

    def __call__(self, source: ClipSource) -> VideoOutputs:
        """Reads the features of every video.

        Args:
          source: the videos.

        Returns:
          Means over the views of each video.

        Raises:
          UserError: the model calls no layer that it names as its classifier, or no video could be decoded.
        """
        options = clip_options(self._trained.config)
        return mean_outputs(self._features, self._trained.variables, source, options, self._views, mesh=self._mesh)
