"""Multinomial logistic regression of features, whose regularisation is chosen on a held-out part."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

PENALTIES = tuple(float(10.0**power) for power in range(1, -7, -1))
"""What is tried, from strong to weak: the factor of half the squared weights beside the mean cross entropy."""

PENALTY_WITHOUT_CHOICE = 1e-2
"""What is taken where no class has a second clip to hold out."""

_HELD_OUT = 0.2
_STEPS = 300
_GRADIENT = 1e-5


class Regression(NamedTuple):
    """A fitted logistic regression.

    Attributes:
      kernel: weights of the standardised features.
      bias: of each class.
      mean: of each feature, which is subtracted.
      scale: of each feature, which it is divided by then.
      penalty: the chosen one of `PENALTIES`.
      held_out: training clips that it was chosen on; all clips were fitted after that.
      held_out_accuracy: accuracy on them; NaN without any.
    """

    kernel: Float[np.ndarray, "c classes"]
    bias: Float[np.ndarray, " classes"]
    mean: Float[np.ndarray, " c"]
    scale: Float[np.ndarray, " c"]
    penalty: float
    held_out: int
    held_out_accuracy: float

    def logits(self, features: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n classes"]:
        """Classifies features.

        Args:
          features: as they were fitted, not standardised.

        Returns:
          Logits.
        """
        return np.asarray((features - self.mean) / self.scale @ self.kernel + self.bias)


class _Parameters(NamedTuple):
    kernel: Float[Array, "c classes"]
    bias: Float[Array, " classes"]


def fit_logistic_regression(
    features: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], *, classes: int, seed: int = 0
) -> Regression:
    """Fits a logistic regression by L-BFGS.

    Features are standardised. A fifth of the clips of each class, at least one where it has two, is held out; each
    penalty is fitted on the others, from strong to weak, each fit starting from the last. The one with the best
    accuracy on the held-out clips (of equal ones, the smallest cross entropy there) is fitted to all clips.

    Args:
      features: of the training clips.
      labels: their classes.
      classes: number of classes.
      seed: chooses the held-out clips.

    Returns:
      The regression.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    inputs = jnp.asarray((features - mean) / scale, jnp.float32)
    targets = jax.nn.one_hot(jnp.asarray(labels), classes, dtype=jnp.float32)
    held_out = _held_out(labels, seed)
    start = _Parameters(jnp.zeros((features.shape[1], classes), jnp.float32), jnp.zeros(classes, jnp.float32))
    chosen, best, accuracy = PENALTY_WITHOUT_CHOICE, (-1.0, 0.0), float("nan")
    fitted = start
    if held_out.any():
        for penalty in PENALTIES:
            fitted = _fit(inputs, targets, jnp.asarray(~held_out, jnp.float32), jnp.float32(penalty), fitted)
            right, loss = jax.device_get(_measure(inputs, targets, jnp.asarray(held_out, jnp.float32), fitted))
            if (float(right), -float(loss)) > best:
                chosen, best, accuracy = penalty, (float(right), -float(loss)), float(right)
    everything = jnp.ones(len(labels), jnp.float32)
    kernel, bias = jax.device_get(_fit(inputs, targets, everything, jnp.float32(chosen), start))
    return Regression(kernel, bias, mean, scale, chosen, int(held_out.sum()), accuracy)


def _held_out(labels: Int[np.ndarray, " n"], seed: int) -> Bool[np.ndarray, " n"]:
    """Chooses a part of each class that has more than one clip."""
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        chosen[rows[: min(max(1, round(_HELD_OUT * len(rows))), len(rows) - 1)]] = True
    return chosen


def _cross_entropy(
    inputs: Float[Array, "n c"], targets: Float[Array, "n classes"], weights: Float[Array, " n"], fitted: _Parameters
) -> Float[Array, ""]:
    logits = jnp.matmul(inputs, fitted.kernel, precision="highest") + fitted.bias[None]
    return jnp.sum(weights * optax.softmax_cross_entropy(logits, targets)) / jnp.sum(weights)


@jax.jit
def _measure(
    inputs: Float[Array, "n c"], targets: Float[Array, "n classes"], weights: Float[Array, " n"], fitted: _Parameters
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns accuracy and cross entropy of the clips that have a weight."""
    logits = inputs @ fitted.kernel + fitted.bias[None]
    right = jnp.argmax(logits, axis=-1) == jnp.argmax(targets, axis=-1)
    accuracy = jnp.sum(jnp.where(right, weights, 0.0)) / jnp.sum(weights)
    return accuracy, _cross_entropy(inputs, targets, weights, fitted)


@jax.jit
def _fit(
    inputs: Float[Array, "n c"],
    targets: Float[Array, "n classes"],
    weights: Float[Array, " n"],
    penalty: Float[Array, ""],
    start: _Parameters,
) -> _Parameters:
    """Minimises the mean cross entropy and the penalty on the kernel."""

    def objective(fitted: _Parameters) -> Float[Array, ""]:
        penalized = penalty / 2 * jnp.sum(jnp.square(fitted.kernel))
        return _cross_entropy(inputs, targets, weights, fitted) + penalized

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(objective)

    def improve(carry: tuple[_Parameters, optax.OptState]) -> tuple[_Parameters, optax.OptState]:
        fitted, state = carry
        value, grad = value_and_grad(fitted, state=state)
        updates, state = solver.update(grad, state, fitted, value=value, grad=grad, value_fn=objective)
        return optax.apply_updates(fitted, updates), state

    def goes_on(carry: tuple[_Parameters, optax.OptState]) -> Bool[Array, ""]:
        state = carry[1]
        count, grad = optax.tree.get(state, "count"), optax.tree.get(state, "grad")
        return (count == 0) | ((count < _STEPS) & (optax.tree.norm(grad) > _GRADIENT))

    fitted, _ = jax.lax.while_loop(goes_on, improve, (start, solver.init(start)))
    return fitted
