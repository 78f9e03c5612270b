"""Labels that a teacher gives to clips without any, and the losses of a student on them.

Sources: FixMatch (Sohn et al., arXiv 2001.07685), equation 4. SVFormer (Xing et al., CVPR 2023, arXiv 2211.13222) adds
clips that are mixed; its code is github.com/ChenHsing/SVFormer. SeFAR (Huang et al., AAAI 2025, arXiv 2501.01245) has
weights in the place of a threshold; its code is github.com/KyleHuang9/SeFAR.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

PseudoLabelMethod = Literal["fixmatch", "adaptive"]
MixingTarget = Literal["logits", "probabilities"]

# SeFAR's scale of the deviation, and what keeps its inverse finite.
_DEVIATIONS, _LEAST_DEVIATION = 20.0, 1e-9


class PseudoLabels(NamedTuple):
    """Labels that a teacher gives to clips, and how far they are to be trusted.

    Attributes:
      classes: the most probable class of each clip.
      probabilities: what mixed clips are to be told apart by, a mixture of those of both clips.
      weights: how much each clip counts, from 0 to 1.
    """

    classes: Int[Array, " b"]
    probabilities: Float[Array, "b classes"]
    weights: Float[Array, " b"]


def confident_labels(logits: Float[Array, "b classes"], threshold: float) -> PseudoLabels:
    """Takes the labels that a teacher is sure of (FixMatch).

    Args:
      logits: of the teacher.
      threshold: least probability of the most probable class.

    Returns:
      The labels. A clip that the teacher is sure of counts 1 and is to be told by its class alone; another one counts
      nothing by itself, and lends its probabilities to what it is mixed with.
    """
    probabilities = jax.nn.softmax(logits)
    classes = jnp.argmax(probabilities, axis=-1)
    sure = jnp.max(probabilities, axis=-1) >= threshold
    told = jnp.where(sure[:, None], jax.nn.one_hot(classes, logits.shape[-1]), probabilities)
    return PseudoLabels(classes, told, sure.astype(jnp.float32))


def weighed_labels(logits: Float[Array, "passes b classes"]) -> PseudoLabels:
    """Weighs labels by how sure a teacher is, and how steady in several passes with dropout (SeFAR).

    Args:
      logits: of the teacher in each pass, at least two.

    Returns:
      The labels: the mean probabilities, and weights of `adaptive_weight`.
    """
    each = jax.nn.softmax(logits)
    probabilities = jnp.mean(each, axis=0)
    classes = jnp.argmax(probabilities, axis=-1)
    deviations = jnp.std(each, axis=0, ddof=1)
    deviation = jnp.take_along_axis(deviations, classes[:, None], axis=-1)[:, 0]
    return PseudoLabels(classes, probabilities, adaptive_weight(jnp.max(probabilities, axis=-1), deviation))


def adaptive_weight(probability: Float[Array, "*b"], deviation: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Weighs a label: `2 sigmoid(exp(p) - e) * (2 sigmoid(1 / (20 deviation)) - 1)`.

    Args:
      probability: of the label, in the mean over passes.
      deviation: of that probability from pass to pass.

    Returns:
      Weights; 1 for a label of probability 1 in all passes, 0.54 for one of probability 0.5 in all passes.
    """
    steady = 2.0 * jax.nn.sigmoid(1.0 / (_DEVIATIONS * deviation + _LEAST_DEVIATION)) - 1.0
    return 2.0 * jax.nn.sigmoid(jnp.exp(probability) - math.e) * steady


def pseudo_label_loss(student: Float[Array, "b classes"], labels: PseudoLabels) -> Float[Array, " b"]:
    """Computes the cross entropy of each clip with its label, times the label's weight.

    Args:
      student: its logits of the strong views.
      labels: of the weak views.

    Returns:
      The loss of each clip.
    """
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(student, labels.classes)
    return labels.weights * losses


def mixing_loss(
    student: Float[Array, "b classes"],
    labels: PseudoLabels,
    partners: PseudoLabels,
    share: Float[Array, " b"],
    *,
    compared: MixingTarget = "logits",
) -> Float[Array, " b"]:
    """Computes the squared error of mixed clips, in the mean over the classes.

    Args:
      student: its logits of the mixed clips.
      labels: of the clips.
      partners: of the clips that each is mixed with.
      share: of its own that each clip has kept.
      compared: what is compared with the mixed probabilities: the "logits" themselves, as both papers' code does, or
        the "probabilities" of the student.

    Returns:
      The loss of each clip, times the mixed weight of the labels.
    """
    targets = share[:, None] * labels.probabilities + (1.0 - share[:, None]) * partners.probabilities
    weights = share * labels.weights + (1.0 - share) * partners.weights
    found = student if compared == "logits" else jax.nn.softmax(student)
    return weights * jnp.mean(jnp.square(found - targets), axis=-1)
