"""Features that a student learns from its teachers, and the linear layers that bring them to the teachers' widths."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray
from ml_collections import ConfigDict

from motion_vit.models.video_model import VideoModel
from motion_vit.modules.initializers import fan_in_kernel
from motion_vit.training.losses.feature_distillation import feature_loss, on_common_tokens
from motion_vit.training.objectives.learned_features import ModelFeatures, model_features
from motion_vit.training.objectives.objective import Tree

PROJECTIONS = "feature_projections"
"""Top-level name of the linear layers among the parameters that are trained. They are no part of the model."""

_FIELD = "config field distillation.features"
_NAME_PAIRS = f"Name pairs of features of model and teacher in {_FIELD}, such as (('norm_output', 'norm_output'),)."


class FeaturePair(NamedTuple):
    """The features of a student that are to be like those of a teacher.

    Attributes:
      student: name of an intermediate.
      teacher: likewise, of the teacher.
      widths: channels of the one and the other.
    """

    student: str
    teacher: str
    widths: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class FeatureTeaching:
    """Describes which features a student learns.

    Attributes:
      pairs: for each teacher.
      weight: of the loss, beside that of the labels.
    """

    pairs: tuple[tuple[FeaturePair, ...], ...]
    weight: float = 1.0

    def init(self, key: PRNGKeyArray) -> Tree:
        """Draws the linear layers: for each teacher and pair a kernel `[student's width, teacher's width]`."""
        return {
            f"teacher{number}": {
                f"pair{place}": {
                    "kernel": fan_in_kernel(jax.random.fold_in(jax.random.fold_in(key, number), place), pair.widths)
                }
                for place, pair in enumerate(pairs)
            }
            for number, pairs in enumerate(self.pairs)
        }

    def taught(self, number: int, features: Mapping[str, Array]) -> tuple[Array, ...]:
        """Selects what a teacher teaches of its features.

        Args:
          number: of the teacher.
          features: of `apply_with_features`.
        """
        return tuple(features[pair.teacher].astype(jnp.float32) for pair in self.pairs[number])

    def losses(
        self, projections: Tree, features: Mapping[str, Array], taught: Sequence[Sequence[Array]], clips: int
    ) -> Float[Array, " b"]:
        """Computes the loss of each clip, the mean over all pairs, without the weight.

        Args:
          projections: the linear layers, as `init` makes them.
          features: those of the student, by name.
          taught: of each teacher, what the method `taught` selects.
          clips: of the batch.
        """
        kernels, found = nn.meta.unbox(projections), []
        for number, (pairs, theirs) in enumerate(zip(self.pairs, taught, strict=True)):
            for place, (pair, target) in enumerate(zip(pairs, theirs, strict=True)):
                ours, target = on_common_tokens(features[pair.student].astype(jnp.float32), target, clips)
                found.append(feature_loss(ours @ kernels[f"teacher{number}"][f"pair{place}"]["kernel"], target))
        return jnp.mean(jnp.stack(found), axis=0)


def feature_teaching(
    config: ConfigDict,
    model: VideoModel,
    variables: Tree,
    teachers: Sequence[tuple[str, VideoModel, Tree]],
) -> FeatureTeaching | None:
    """Makes what a recipe asks to be learned of the features of teachers.

    Args:
      config: the recipe.
      model: the student.
      variables: its variables, or their shapes.
      teachers: name, model and variables of each.

    Returns:
      It; None where `distillation.feature_weight` is 0, or without a teacher.

    Raises:
      UserError: a model has no features of such a name, or does not name its last ones.
    """
    fields = config.distillation
    if not fields.feature_weight or not teachers:
        return None
    ours = _features_of("the model", model, variables)
    pairs = []
    for name, its_model, its_variables in teachers:
        theirs = _features_of(f"the teacher {name}", its_model, its_variables)
        named = fields.features or ((ours.last(_NAME_PAIRS), theirs.last(_NAME_PAIRS)),)
        pairs.append(
            tuple(
                FeaturePair(one, other, (int(ours.named(one).shape[-1]), int(theirs.named(other).shape[-1])))
                for one, other in named
            )
        )
    return FeatureTeaching(tuple(pairs), fields.feature_weight)


def _features_of(who: str, model: VideoModel, variables: Tree) -> ModelFeatures:
    return model_features(who, model, variables, field=_FIELD, weight="distillation.feature_weight")
