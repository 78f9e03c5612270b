"""Makes probabilities honest: one number, fitted on held-out videos, that all logits are divided by.

Source: Guo et al., *On calibration of modern neural networks*, 2017, section 4.2. Dividing changes no ranking of
classes, and so no accuracy. Here the classifier's weights themselves are divided, so that every command, export and
framework gives calibrated probabilities without knowing of it.
"""

import dataclasses
import re
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Float, Int

from motion_vit.errors import UserError
from motion_vit.training.checkpoints.trained_model import TrainedModel

LARGEST = 100.0
"""The largest temperature, and the inverse of the smallest: where a fit ends here, no temperature is right."""

_STEPS = 60
_HEAD = re.compile(r"params/(.*/)?head/[^/]+")


def fit_temperature(logits: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"]) -> float:
    """Finds the temperature of the smallest negative log-likelihood.

    The likelihood is concave in the inverse of the temperature: its slope is halved into until it is found.

    Args:
      logits: of held-out videos; finite.
      labels: their classes.

    Returns:
      The temperature: above 1 where the model was too sure.

    Raises:
      UserError: there is none: all videos are right, or a class that is never the most probable is always the true one.
    """
    logits = logits.astype(np.float64)
    own = np.take_along_axis(logits, labels[:, None].astype(np.intp), axis=1)[:, 0]

    def slope(scale: float) -> float:
        scaled = scale * (logits - logits.max(axis=1, keepdims=True))
        weights = np.exp(scaled)
        expected = (weights * logits).sum(axis=1) / weights.sum(axis=1)
        return float(np.mean(own - expected))

    low, high = -np.log(LARGEST), np.log(LARGEST)
    if slope(np.exp(low)) <= 0 or slope(np.exp(high)) >= 0:
        raise UserError(
            "no temperature fits these videos: the model is right about all of them, or no better than chance. Take "
            "more videos that were not trained on."
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) > 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def with_temperature(trained: TrainedModel, temperature: float) -> TrainedModel:
    """Divides the logits of a model, by dividing the weights of its classifier.

    Args:
      trained: the model, whose last layer is called `head`, as that of every backbone here.
      temperature: above 0.

    Returns:
      The same model with other weights.

    Raises:
      UserError: the model has no such layer, or its logits are not proportional to that layer's weights.
    """
    flat = traverse_util.flatten_dict(trained.variables, sep="/")
    head = [path for path in flat if _HEAD.fullmatch(path)]
    if not head:
        raise UserError(
            f"{type(trained.model).__name__} has no classifier of the name head, whose weights could be divided."
        )
    divided = {path: value / temperature if path in head else value for path, value in flat.items()}
    changed = dataclasses.replace(trained, variables=traverse_util.unflatten_dict(divided, sep="/"))
    _check_proportional(trained, changed, temperature)
    return changed


def _check_proportional(trained: TrainedModel, changed: TrainedModel, temperature: float) -> None:
    """Compares both models on a clip of noise: another kind of classifier would not be calibrated by this."""
    shape = (1, trained.model.frames, trained.model.image_size, trained.model.image_size, 3)
    clip = jax.random.normal(jax.random.key(0), shape)
    apply: Any = jax.jit(trained.model.apply)
    before, after = (
        np.asarray(jax.nn.log_softmax(logits))
        for logits in (apply(trained.variables, clip) / temperature, apply(changed.variables, clip))
    )
    if not np.allclose(before, after, rtol=1e-3, atol=1e-3):
        raise UserError(
            f"the logits of {type(trained.model).__name__} with its options are not proportional to the weights of its "
            "classifier, so that dividing these does not calibrate it."
        )
