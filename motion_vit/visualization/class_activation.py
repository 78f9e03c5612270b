"""Class activation maps (CAM), and their generalisation by gradients to any layer (Grad-CAM).

Sources: Zhou et al., "Learning deep features for discriminative localization" (arXiv 1512.04150); Selvaraju et al.,
"Grad-CAM" (arXiv 1610.02391). The figures of EMIM (arXiv 2510.18705) are CAMs of the last stage.
"""

import difflib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.token_layout import TokenLayout
from motion_vit.models.video_model import VideoModel
from motion_vit.visualization import recording

Maps = Float[Array, "b frames rows columns"]

# Digits of the number of a class.
_LONGEST_NUMBER = 9


def class_number(label_names: Sequence[str], name: str) -> int:
    """Finds a class by its name.

    Args:
      label_names: the names of the classes, in the order of the logits.
      name: the name; a number is taken as a class number if no class has that name.

    Returns:
      The class number.

    Raises:
      UserError: there is no such class.
    """
    if name in label_names:
        return label_names.index(name)
    if name.isdecimal() and len(name) <= _LONGEST_NUMBER and int(name) < len(label_names):
        return int(name)
    close = difflib.get_close_matches(name, label_names, n=3)
    suggestion = (
        f" Close to it are: {', '.join(close)}." if close else f" They start with: {', '.join(label_names[:5])}."
    )
    raise UserError(f"the model knows no class {name!r} among its {len(label_names)} classes.{suggestion}")


def class_numbers(label_names: Sequence[str], text: str) -> tuple[int, ...]:
    """Parses comma-separated class names, which may contain commas.

    Args:
      label_names: the names of the classes, in the order of the logits.
      text: a name, or several; see `class_number`.

    Returns:
      Class numbers, in order.

    Raises:
      UserError: there is no such class.
    """
    if text.strip() in label_names:
        return (label_names.index(text.strip()),)
    parts = text.split(",")
    for count in range(len(parts) - 1, 0, -1):
        name = ",".join(parts[:count]).strip()
        if name in label_names:
            return label_names.index(name), *class_numbers(label_names, ",".join(parts[count:]))
    first, *rest = parts
    numbers = (class_number(label_names, first.strip()),)
    return (*numbers, *class_numbers(label_names, ",".join(rest))) if rest else numbers


def class_signs(model: VideoModel, class_index: int, minus: int | None = None) -> Float[Array, " classes"]:
    """Returns what logits are multiplied with to sum up to that of a class, or to the difference of two.

    Args:
      model: a model of `motion_vit.create_model`.
      class_index: number of the class.
      minus: another class, whose logit is subtracted.

    Returns:
      1 at the class, -1 at the other, 0 elsewhere.

    Raises:
      UserError: there is no such class.
    """
    _check_classes(model, class_index, minus)
    signs = jnp.zeros(model.num_classes).at[class_index].add(1.0)
    return signs if minus is None else signs.at[minus].add(-1.0)


def classifier_weights(
    model: VideoModel, variables: Mapping[str, Any], class_index: int | Array, minus: int | None = None
) -> Float[Array, " c"]:
    """Returns the classifier's weights of a logit, or of the difference of two.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      class_index: number of the class.
      minus: another class, whose weights are subtracted.

    Returns:
      One weight per channel.
    """
    params = traverse_util.flatten_dict(dict(variables["params"]), sep="/")
    kernel = jnp.asarray(params[f"{model.classifier}/kernel"], jnp.float32)
    return kernel[:, class_index] if minus is None else kernel[:, class_index] - kernel[:, minus]


def class_activation_map(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
    class_index: int | Array,
    *,
    minus: int | None = None,
) -> Maps:
    """Computes each position's share in a logit: its features times the classifier's weights of the class.

    The mean of a map over places, plus the classifier's bias, is the logit.

    Args:
      model: a model that has an `activation_layer`, such as a UniFormer or a ResNet.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      class_index: number of the class.
      minus: another class, whose map is subtracted.

    Returns:
      Maps over the tokens of `model.activation_layer()`, positive and negative, in the unit of logits.

    Raises:
      UserError: the model has no such map, or there is no such class.
    """
    layer = model.activation_layer()
    _check_classes(model, class_index, minus)
    weights = classifier_weights(model, variables, class_index, minus)
    transform = jax.tree_util.Partial(_weighted_features, weights)
    return recording.record(model, variables, clips, [layer], transform=transform).maps["map"]


def grad_cam(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
    layer: str,
    class_index: int,
    *,
    minus: int | None = None,
    positive: bool = True,
) -> Maps:
    """Weights the features of any stage or block by each channel's mean effect on a logit.

    With the gradient `g` of a clip's logit and the features `x` of the layer, it is `sum_c mean(g[..., c]) * x[...,
    c]`, the mean being over frames, rows and columns.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      layer: an intermediate that ends in `_output` and is made of patches.
      class_index: number of the class.
      minus: another class, whose logit is subtracted.
      positive: whether negative evidence is set to 0, as published.

    Returns:
      Maps over the tokens of the layer; a class token is left out.

    Raises:
      UserError: there is no such layer or class, or the classifier does not read the layer's patches.
    """
    known = recording.names(model, clips.shape[1:])
    (layer,) = _one_layer(recording.choose(list(known), [layer]))
    signs = class_signs(model, class_index, minus)
    layout = model.token_layout(layer, clips.shape[1:])
    features, gradient = _features_and_gradient(model, layer, variables, clips, signs)
    features, gradient = (_patches(x, layout, len(clips)) for x in (features, gradient))
    if not jnp.any(gradient):
        raise UserError(
            f"the patches of {layer!r} have no effect on the classes: after it only the class token is read. Choose an "
            "earlier block"
        )
    weights = jnp.mean(gradient, axis=(1, 2, 3), keepdims=True)
    maps = jnp.sum(weights * features, axis=-1)
    return jax.nn.relu(maps) if positive else maps


@functools.partial(jax.jit, static_argnames=("model", "layer"))
def _features_and_gradient(
    model: VideoModel, layer: str, variables: Mapping[str, Any], clips: Array, signs: Float[Array, " classes"]
) -> tuple[Array, Array]:
    """Returns a layer's features and the gradient of a weighted sum of logits with respect to them."""
    _, shapes = jax.eval_shape(lambda: model.apply(variables, clips, train=False, mutable=["perturbations"]))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes["perturbations"])
    flat = traverse_util.flatten_dict(nothing, sep="/")

    def score(change: Array) -> tuple[Array, Array]:
        perturbations = traverse_util.unflatten_dict({**flat, layer: change}, sep="/")
        logits, state = model.apply(
            {**variables, "perturbations": perturbations}, clips, train=False, mutable=["intermediates"]
        )
        (features,) = traverse_util.flatten_dict(state["intermediates"], sep="/")[layer]
        return jnp.sum(logits @ signs), features

    gradient, features = jax.grad(score, has_aux=True)(flat[layer])
    return features.astype(jnp.float32), gradient.astype(jnp.float32)


def _weighted_features(weights: Float[Array, " c"], maps: dict[str, Array]) -> dict[str, Array]:
    (features,) = maps.values()
    return {"map": features.astype(jnp.float32) @ weights}


def _patches(x: Array, layout: TokenLayout, batch: int) -> Float[Array, "b t h w c"]:
    """Arranges tokens in their grid, without the class token of a TimeSformer."""
    if x.ndim == 5:
        return x
    # With attention in space alone, frames are part of the batch, and each has its class token.
    patches = x[:, layout.class_tokens :]
    return patches.reshape(batch, layout.frames, layout.rows, layout.columns, -1)


def _one_layer(layers: list[str]) -> list[str]:
    if len(layers) > 1:
        raise UserError(f"Grad-CAM is of one layer at a time; given a pattern of {', '.join(layers)}")
    if not layers[0].endswith("_output"):
        raise UserError(
            f"Grad-CAM is of the output of a stage or block, whose name ends in _output; given {layers[0]!r}"
        )
    return layers


def _check_classes(model: VideoModel, *classes: int | Array | None) -> None:
    for number in classes:
        if isinstance(number, int) and not 0 <= number < model.num_classes:
            raise UserError(f"the model has the classes 0 to {model.num_classes - 1}; given {number}")
