"""Distillation: frozen models that look at the clips of their student."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.intermediates import FEATURES, named_features
from motion_vit.models.video_model import VideoModel
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.distillation import Distillation
from motion_vit.training.objectives.feature_teaching import FeatureTeaching
from motion_vit.training.objectives.objective import Tree


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model that a student learns from. Its arrays are inputs of the step, no part of the state.

    Attributes:
      name: where it was read from, for messages.
      model: the network.
      variables: `params` and `batch_stats` on the devices, or their shapes with shardings.
      normalization: pixels to its inputs.
      classes: for each class of the student, the place of its logit among those of the teacher.
      fingerprint: SHA-256 of the variables.
      remark: what the log says of it.
    """

    name: str
    model: VideoModel
    variables: Tree
    normalization: Normalization
    classes: tuple[int, ...]
    fingerprint: str = ""
    remark: str = ""

    def logits(
        self,
        variables: Tree,
        clips: Float[Array, "b t h w 3"],
        normalization: Normalization,
        *,
        with_features: bool = False,
    ) -> tuple[Float[Array, "b classes"], Mapping[str, Array]]:
        """Classifies clips, in evaluation mode.

        Args:
          variables: those of the teacher, as inputs of the step.
          clips: inputs of the student, augmented and mixed.
          normalization: by which they were made of pixels.
          with_features: whether its features are asked for, too.

        Returns:
          Logits in float32, in the order of the student's classes; and features by name, {} without `with_features`.
        """
        logits, stored = self.model.apply(
            variables,
            normalization.converted(clips, self.normalization),
            train=False,
            mutable=[FEATURES] if with_features else [],
        )
        return jnp.asarray(logits, jnp.float32)[:, jnp.asarray(self.classes)], named_features(stored)


class Taught(NamedTuple):
    """The answers of teachers to clips; no gradient goes to them.

    Attributes:
      logits: see `Distillation.taught_logits`.
      features: of each teacher, those that are to be learned.
    """

    logits: Float[Array, "b classes"]
    features: tuple[tuple[Array, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class Teaching:
    """Describes what a student learns from its teachers.

    Attributes:
      loss: between their logits.
      teachers: at least one.
      normalization: pixels to inputs of the student.
      features: what is learned of their features, or None.
    """

    loss: Distillation
    teachers: Sequence[Teacher]
    normalization: Normalization
    features: FeatureTeaching | None = None

    @property
    def variables(self) -> tuple[Tree, ...]:
        """The variables of each teacher, which the step takes beside state and batch."""
        return tuple(teacher.variables for teacher in self.teachers)

    @property
    def shardings(self) -> tuple[Tree, ...]:
        """Returns the sharding of each of these variables."""
        return tuple(jax.tree.map(lambda leaf: leaf.sharding, variables) for variables in self.variables)

    def taught(
        self, variables: Sequence[Tree], clips: Float[Array, "b t h w 3"], targets: Float[Array, "b classes"]
    ) -> Taught:
        """Computes the logits and features that the student is to learn; no gradient passes.

        Args:
          variables: those of each teacher, as inputs of the step.
          clips: inputs of the student, augmented and mixed.
          targets: of the clips.

        Returns:
          Both.
        """
        asked = self.features is not None
        each = [
            teacher.logits(its_variables, clips, self.normalization, with_features=asked)
            for teacher, its_variables in zip(self.teachers, variables, strict=True)
        ]
        logits = self.loss.taught_logits(jnp.stack([logits for logits, _ in each], axis=1), targets)
        features = self.features
        chosen = () if features is None else tuple(features.taught(n, found) for n, (_, found) in enumerate(each))
        taught: Taught = jax.lax.stop_gradient(Taught(logits, chosen))
        return taught


def teaching(
    config: ConfigDict,
    teachers: Sequence[Teacher],
    normalization: Normalization,
    features: FeatureTeaching | None = None,
) -> Teaching | None:
    """Makes what a recipe asks to be learned from teachers.

    Args:
      config: the recipe.
      teachers: those that it names.
      normalization: pixels to inputs of the student.
      features: what it asks to be learned of their features, or None.

    Returns:
      The teaching, None without a teacher.

    Raises:
      ValueError: other teachers are given than the recipe names.
    """
    fields = config.distillation
    if len(teachers) != len(fields.teachers):
        raise ValueError(f"the recipe names {len(fields.teachers)} teachers, and {len(teachers)} are given")
    if not teachers:
        return None
    loss = Distillation(fields.temperature, fields.weight, fields.weighting, fields.sharpness)
    return Teaching(loss, tuple(teachers), normalization, features)


def check_teachers(teachers: Sequence[Teacher], model: VideoModel) -> None:
    """Checks that teachers can look at the clips of a student.

    Args:
      teachers: of the recipe.
      model: the student.

    Raises:
      UserError: one is meant for clips of another shape.
    """
    for teacher in teachers:
        theirs, ours = teacher.model.clip_shape, model.clip_shape
        if theirs != ours:
            raise UserError(
                f"the teacher {teacher.name} (config field distillation.teachers) takes clips of {_shape(theirs)}, and "
                f"this run's are of {_shape(ours)}, but both must see the same. Set data.frames and data.size to those "
                "of the teacher, or choose another one."
                + (" An input adapter takes frames of its own." if _adapters_differ(teacher.model, model) else "")
            )


def _shape(clip_shape: tuple[int, ...]) -> str:
    frames, height, width, _ = clip_shape
    return f"{frames} frames of {height} x {width} pixels"


def _adapters_differ(one: VideoModel, other: VideoModel) -> bool:
    return one.extra_frames != other.extra_frames
