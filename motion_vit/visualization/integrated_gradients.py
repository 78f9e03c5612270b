"""Integrated gradients: the share of every pixel in what a clip adds to a logit.

Source: Sundararajan et al., "Axiomatic attribution for deep networks" (arXiv 1703.01365). The integral along the
straight path is a Gauss-Legendre quadrature in panels, which are made finer until the shares add up to what they must.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.checked_model import refusals_told
from motion_vit.models.video_model import VideoModel
from motion_vit.ranges import Whole, refusal
from motion_vit.visualization.class_activation import class_signs

STEPS = Whole(1, 10_000)
"""Points of the path at which the gradient is taken."""

# Points of a panel, and the numbers of panels that are tried one after the other.
_POINTS = 16
_PANELS = (2, 4, 8, 16)
# How far the sum of the shares may be from the difference of the logits: a part of it, and a part of a logit.
_RELATIVE, _ABSOLUTE = 0.01, 0.01


def integrated_gradients(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array | np.ndarray, "b t h w 3"],
    class_index: int,
    *,
    minus: int | None = None,
    baseline: Float[Array | np.ndarray, "b t h w 3"] | None = None,
    steps: int | None = None,
) -> Float[Array, "b t h w"]:
    """Computes the share of each pixel in the difference between the logits of a clip and of a baseline.

    With the clip `x` and the baseline `x'` it is `(x - x') * integral over a from 0 to 1 of the gradient of the logit
    at x' + a (x - x')`, summed over the colours. The sum over all pixels is the difference of the two logits
    (completeness), as far as the quadrature is exact; `completeness_gap` measures it.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      class_index: number of the class.
      minus: another class, whose logit is subtracted.
      baseline: normalised clips that show nothing; None for grey ones, zeros. The first frame repeated, for example,
        asks what motion adds.
      steps: points of the path, rounded up to a multiple of 16; each takes a forward and a backward pass. None begins
        with 32, and doubles them, up to 256, until the sum is right to 1 %, or to a hundredth of a logit.

    Returns:
      A map of each clip, positive and negative, in the unit of logits.

    Raises:
      UserError: there is no such class, the number of steps is out of range, the baseline has another shape, or the
        model cannot take such clips.
    """
    if steps is not None and not STEPS.holds(steps):
        raise UserError(f"{refusal('steps', steps, STEPS)}.")
    signs = class_signs(model, class_index, minus)
    end = jnp.asarray(clips, jnp.float32)
    start = jnp.zeros_like(end) if baseline is None else jnp.asarray(baseline, jnp.float32)
    if start.shape != end.shape:
        raise UserError(f"the baseline has the shape {start.shape}, but the clips have {end.shape}; give both alike.")
    with refusals_told(end.shape[1:]):
        if steps is not None:
            return _integral(model, variables, start, end, signs, math.ceil(steps / _POINTS))
        whole, nothing = (_score(model, variables, one, signs) for one in (end, start))
        for panels in _PANELS:
            shares = _integral(model, variables, start, end, signs, panels)
            gaps = jnp.abs(jnp.sum(shares, axis=(1, 2, 3)) - whole + nothing)
            if not jnp.any(gaps > _RELATIVE * jnp.abs(whole - nothing) + _ABSOLUTE):
                break
    return shares


def completeness_gap(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array | np.ndarray, "b t h w 3"],
    shares: Float[Array | np.ndarray, "b t h w"],
    class_index: int,
    *,
    minus: int | None = None,
    baseline: Float[Array | np.ndarray, "b t h w 3"] | None = None,
) -> Float[np.ndarray, " b"]:
    """Measures how far shares are from adding up to the difference of the logits.

    Args:
      model: as for `integrated_gradients`.
      variables: likewise.
      clips: likewise.
      shares: what it returned.
      class_index: as for `integrated_gradients`.
      minus: likewise.
      baseline: likewise.

    Returns:
      The sum of the shares minus the difference, of each clip.
    """
    signs = class_signs(model, class_index, minus)
    end = jnp.asarray(clips, jnp.float32)
    start = jnp.zeros_like(end) if baseline is None else jnp.asarray(baseline, jnp.float32)
    whole, nothing = (_score(model, variables, one, signs) for one in (end, start))
    return np.asarray(jnp.sum(jnp.asarray(shares), axis=(1, 2, 3)) - whole + nothing)


def _integral(
    model: VideoModel,
    variables: Mapping[str, Any],
    start: Float[Array, "b t h w 3"],
    end: Float[Array, "b t h w 3"],
    signs: Float[Array, " classes"],
    panels: int,
) -> Float[Array, "b t h w"]:
    """Integrates panel by panel, so that one compiled program serves any number of them."""
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    total = jnp.zeros(end.shape[:4])
    for panel in range(panels):
        # From the interval [-1, 1] to the panel.
        places = jnp.asarray((panel + (points + 1) / 2) / panels, jnp.float32)
        parts = jnp.asarray(weights / 2 / panels, jnp.float32)
        total = total + _path_integral(model, variables, start, end, signs, places, parts)
    return total


@functools.partial(jax.jit, static_argnames="model")
def _score(
    model: VideoModel, variables: Mapping[str, Any], clips: Float[Array, "b t h w 3"], signs: Float[Array, " classes"]
) -> Float[Array, " b"]:
    return jnp.asarray(model.apply(variables, clips, train=False), jnp.float32) @ signs


@functools.partial(jax.jit, static_argnames="model")
def _path_integral(
    model: VideoModel,
    variables: Mapping[str, Any],
    start: Float[Array, "b t h w 3"],
    end: Float[Array, "b t h w 3"],
    signs: Float[Array, " classes"],
    places: Float[Array, " steps"],
    weights: Float[Array, " steps"],
) -> Float[Array, "b t h w"]:
    def score(clips: Array) -> Array:
        return jnp.sum(_score(model, variables, clips, signs))

    def step(total: Array, point: tuple[Array, Array]) -> tuple[Array, None]:
        place, weight = point
        return total + weight * jax.grad(score)(start + place * (end - start)), None

    # One point after the other: memory does not grow with their number.
    integral, _ = jax.lax.scan(step, jnp.zeros_like(end), (places, weights))
    return jnp.sum((end - start) * integral, axis=-1)
