"""Features of a model by name, for losses that learn from them, and what is said where a recipe names others."""

import dataclasses
import difflib
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from motion_vit.errors import UserError
from motion_vit.models.intermediates import apply_with_features
from motion_vit.models.video_model import VideoModel
from motion_vit.training.objectives.objective import Tree


@dataclasses.dataclass(frozen=True)
class ModelFeatures:
    """The features of a model.

    Attributes:
      who: what messages call the model.
      model: the network; it says which features are its last.
      shapes: name -> shape and dtype of the features of one clip.
      field: what messages call the field that names features.
    """

    who: str
    model: VideoModel
    shapes: Mapping[str, jax.ShapeDtypeStruct]
    field: str

    def named(self, name: str) -> jax.ShapeDtypeStruct:
        """Looks up features.

        Args:
          name: as a recipe has it.

        Raises:
          UserError: there are none of that name.
        """
        if name not in self.shapes:
            near = difflib.get_close_matches(name, self.shapes, n=3, cutoff=0.0)
            raise UserError(
                f"{self.who} has no features {name!r} ({self.field}). Close to it are: {', '.join(near)}. See "
                "`motion-vit visualize --list`; attention and cost volumes are no features."
            )
        return self.shapes[name]

    def last(self, advice: str) -> str:
        """Names the last features before the head.

        Args:
          advice: what to do where the model does not say which they are.

        Raises:
          UserError: it does not.
        """
        try:
            return self.model.activation_layer()
        except UserError as error:
            raise UserError(f"{self.who} does not say which are its last features. {advice}") from error


def model_features(who: str, model: VideoModel, variables: Tree, *, field: str, weight: str) -> ModelFeatures:
    """Lists the features of a model, without computing any.

    Args:
      who: what messages call the model.
      model: a model of `motion_vit.create_model`.
      variables: its variables, or their shapes.
      field: what messages call the field that names features.
      weight: the field that switches off what is learned of them.

    Returns:
      The features.

    Raises:
      UserError: the model names none.
    """
    clips = jax.ShapeDtypeStruct((1, *model.clip_shape), jnp.float32)
    _, features = jax.eval_shape(functools.partial(apply_with_features, model), variables, clips)
    if not features:
        raise UserError(
            f"{who} names no features that could be learned ({field}). In its __call__, pass them through "
            f"motion_vit.models.intermediates.name_output, or set {weight} to 0."
        )
    return ModelFeatures(who, model, dict(features), field)
