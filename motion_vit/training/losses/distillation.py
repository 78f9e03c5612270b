"""Knowledge distillation: a student learns the logits of teachers, beside the labels or in their place.

Sources: Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (arXiv 1503.02531), section 2, has the
temperature. Radevski et al., "Multimodal distillation for egocentric action recognition" (ICCV 2023), weigh teachers
for each clip; their code is github.com/gorjanradevski/multimodal-distillation.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

TeacherWeighting = Literal["equal", "per_clip"]


@dataclasses.dataclass(frozen=True)
class Distillation:
    """The loss between the logits of a student and those of its teachers.

    Attributes:
      temperature: what all logits are divided by, so that small probabilities count, too.
      weight: of the loss, beside that of the labels.
      weighting: "equal" takes the mean of the teachers' logits; "per_clip" weighs a teacher by how well it knows the
        target of the clip.
      sharpness: of "per_clip", what the teachers' losses are divided by: the larger, the more equal the weights.
    """

    temperature: float = 1.0
    weight: float = 1.0
    weighting: TeacherWeighting = "equal"
    sharpness: float = 1.0

    def taught_logits(
        self, teachers: Float[Array, "b teachers classes"], targets: Float[Array, "b classes"]
    ) -> Float[Array, "b classes"]:
        """Joins the logits of all teachers: `z = sum_n w_n z_n`.

        Args:
          teachers: the logits of each teacher.
          targets: probabilities of the classes, of which "per_clip" weighs by: `w = softmax_n(-CE(z_n, target) / s)`
            with the sharpness `s`.

        Returns:
          The logits to learn.
        """
        if self.weighting == "equal":
            return jnp.mean(teachers, axis=1)
        losses = -jnp.sum(targets[:, None] * jax.nn.log_softmax(teachers), axis=-1)
        weights = jax.nn.softmax(-losses / self.sharpness, axis=-1)
        return jnp.sum(weights[..., None] * teachers, axis=1)

    def __call__(self, student: Float[Array, "b classes"], taught: Float[Array, "b classes"]) -> Float[Array, " b"]:
        """Computes the divergence of each clip, without the weight.

        Args:
          student: its logits.
          taught: of `taught_logits`.

        Returns:
          `T^2 KL(softmax(taught / T) || softmax(student / T))`. With the factor `T^2` the gradient is of the same size
          for all temperatures.
        """
        expected = jax.nn.log_softmax(taught / self.temperature)
        found = jax.nn.log_softmax(student / self.temperature)
        return self.temperature**2 * jnp.sum(jnp.exp(expected) * (expected - found), axis=-1)
