"""Teachers within a training step: frozen models that look at the clips of their student."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.inputs.normalization import Normalization
from motion_vit.training.losses.distillation import Distillation
from motion_vit.training.step.regex_rules import Tree
from motion_vit.training.step.split_parameters import gathered_where_read


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
        self, variables: Tree, clips: Float[Array, "b t h w 3"], normalization: Normalization
    ) -> Float[Array, "b classes"]:
        """Classifies clips, in evaluation mode.

        Args:
          variables: those of the teacher, as inputs of the step.
          clips: inputs of the student, augmented and mixed.
          normalization: by which they were made of pixels.

        Returns:
          Logits in float32, in the order of the student's classes.
        """
        sharding = jax.tree.map(lambda leaf: leaf.sharding, self.variables["params"])
        read = {**variables, "params": gathered_where_read(variables["params"], sharding)}
        logits = self.model.apply(read, normalization.converted(clips, self.normalization), train=False)
        return jnp.asarray(logits, jnp.float32)[:, jnp.asarray(self.classes)]


@dataclasses.dataclass(frozen=True)
class Teaching:
    """Describes what a student learns from its teachers.

    Attributes:
      loss: between their logits.
      teachers: at least one.
      normalization: pixels to inputs of the student.
    """

    loss: Distillation
    teachers: Sequence[Teacher]
    normalization: Normalization

    @property
    def shardings(self) -> tuple[Tree, ...]:
        """Returns the sharding of the variables of each teacher."""
        return jax.tree.map(lambda leaf: leaf.sharding, variables_of(self.teachers))

    def logits(
        self, variables: Sequence[Tree], clips: Float[Array, "b t h w 3"], targets: Float[Array, "b classes"]
    ) -> Float[Array, "b classes"]:
        """Computes the logits that the student is to learn; no gradient passes.

        Args:
          variables: those of each teacher, as inputs of the step.
          clips: inputs of the student, augmented and mixed.
          targets: of the clips.

        Returns:
          Logits, see `Distillation.taught_logits`.
        """
        each = [
            teacher.logits(its_variables, clips, self.normalization)
            for teacher, its_variables in zip(self.teachers, variables, strict=True)
        ]
        return jax.lax.stop_gradient(self.loss.taught_logits(jnp.stack(each, axis=1), targets))


def variables_of(teachers: Sequence[Teacher]) -> tuple[Tree, ...]:
    """Returns the variables of each teacher, which a batch has as its entry `teachers`."""
    return tuple(teacher.variables for teacher in teachers)


def teaching(
    config: ConfigDict, teachers: Sequence[Teacher], normalization: Normalization, mesh: Mesh
) -> Teaching | None:
    """Makes what a recipe asks to be learned from teachers.

    Args:
      config: the recipe.
      teachers: those that it names.
      normalization: pixels to inputs of the student.
      mesh: the devices; where they split frames, teachers keep them where they are.

    Returns:
      The teaching, None without a teacher.

    Raises:
      UserError: frames are to be split and a teacher cannot.
      ValueError: other teachers are given than the recipe names.
    """
    fields = config.distillation
    if len(teachers) != len(fields.teachers):
        raise ValueError(f"the recipe names {len(fields.teachers)} teachers, and {len(teachers)} are given")
    if not teachers:
        return None
    if mesh.shape["frames"] > 1:
        teachers = [dataclasses.replace(each, model=each.model.with_frames_split("frames")) for each in teachers]
    loss = Distillation(fields.temperature, fields.weight, fields.weighting, fields.sharpness)
    return Teaching(loss, tuple(teachers), normalization)


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
