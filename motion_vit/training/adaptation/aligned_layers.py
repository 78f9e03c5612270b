"""Finds the normalisation layers of a model, and chooses those whose statistics are aligned."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.adaptation.norm_layers import apply_watching_norms, unrolled

# How models call their stages.
_STAGE = re.compile(r"stage(\d+)(?:/|$)")
_SHOWN = 3


def norm_layers(model: VideoModel, variables: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Finds the normalisation layers of a model, without computing anything.

    Args:
      model: of `motion_vit.create_model`.
      variables: `params` and `batch_stats`, or their shapes.

    Returns:
      The shape of each layer's output for one clip, by the path of the layer, in the order of the network.
    """
    plain, clip = unrolled(model), jax.ShapeDtypeStruct((1, *model.clip_shape), jnp.float32)
    shapes: dict[str, tuple[int, ...]] = {}

    # Python keeps the order of the layers, which a tree of results would sort.
    def watch(variables: Mapping[str, Any], clip: jax.Array) -> None:
        outputs = apply_watching_norms(plain, variables, clip).outputs
        shapes.update({layer: output.shape for layer, output in outputs.items()})

    jax.eval_shape(watch, variables, clip)
    return shapes


def aligned_layers(layers: Mapping[str, tuple[int, ...]], pattern: str = "") -> tuple[str, ...]:
    """Chooses the layers whose statistics are aligned.

    Layers that normalise one vector a clip, such as the class token alone, are left out: it has no variance.

    Args:
      layers: of `norm_layers`.
      pattern: a regular expression that matches the whole path of each; "" for the layers from the first of the last
        half of the stages on (the authors' choice: of four stages the last two, and the norm behind them). Of a model
        without stages, the last half of its layers.

    Returns:
      Their paths, in the order of the network.

    Raises:
      UserError: the pattern is not a regular expression or matches none, or there is none.
    """
    with_places = [layer for layer, shape in layers.items() if len(shape) > 2]
    if not with_places:
        raise UserError(
            'no normalisation layer of the model has outputs at several places, whose statistics "vitta" could align. '
            'Choose "tent", or "norm" for a model with BatchNorm.'
        )
    if pattern:
        return _matching(with_places, pattern)
    found = [int(match[1]) if (match := _STAGE.search(layer)) else None for layer in with_places]
    stages = sorted({stage for stage in found if stage is not None})
    if len(stages) < 2:
        return tuple(with_places[len(with_places) // 2 :])
    first = stages[len(stages) // 2]
    start = next(number for number, stage in enumerate(found) if stage is not None and stage >= first)
    return tuple(with_places[start:])


def _matching(layers: list[str], pattern: str) -> tuple[str, ...]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"layers: the pattern {pattern!r} is not a regular expression: {error}.") from error
    if chosen := tuple(layer for layer in layers if compiled.fullmatch(layer)):
        return chosen
    near = [layer for layer in layers if compiled.search(layer)]
    near = near or difflib.get_close_matches(pattern, layers, n=_SHOWN, cutoff=0.3) or layers
    raise UserError(
        f"layers: the pattern {pattern!r} matches no normalisation layer. It must match the whole path, such as "
        f"{', '.join(near[:_SHOWN])}."
    )
