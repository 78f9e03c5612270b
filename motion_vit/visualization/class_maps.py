"""Makes maps for drawing from class activation maps and Grad-CAM."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from motion_vit.errors import UserError
from motion_vit.training.inference.ranking import finite_rows
from motion_vit.visualization import recording
from motion_vit.visualization.class_activation import class_numbers, classifier_weights, grad_cam
from motion_vit.visualization.clip_recording import ClipRecording, Subject
from motion_vit.visualization.color_maps import DIVERGING, value_limits
from motion_vit.visualization.layer_maps import ScalarMap
from motion_vit.visualization.token_grid import token_grid

# Classes shown unless some are asked for: the most probable ones.
_MOST_PROBABLE = 3

Contrast = tuple[int, int | None]
"""A class, and the class that it is set against, if any."""


def asked_classes(label_names: Sequence[str], names: str) -> list[Contrast]:
    """Parses the requested classes.

    Args:
      label_names: the names of the classes.
      names: a class, or two separated by a comma for their difference; "" for none.

    Returns:
      Numbers of classes, each with that of the class subtracted from it.

    Raises:
      UserError: a class is unknown or given twice, or there are more than two.
    """
    if not names:
        return []
    first, *other = class_numbers(label_names, names)
    if len(other) > 1:
        raise UserError(f"a class, or two to compare, can be shown; given {1 + len(other)}: {names}")
    if first in other:
        raise UserError(f"a class does not differ from itself; give one class, or two different ones, not {names}.")
    return [(first, None), *((second, None) for second in other), *((first, second) for second in other)]


def most_probable(logits: Float[np.ndarray, " classes"]) -> list[Contrast]:
    """Returns the default classes, the most probable first; [] if logits are not finite."""
    if not finite_rows(logits):
        return []
    return [(int(number), None) for number in np.argsort(-logits, kind="stable")[:_MOST_PROBABLE]]


def class_activation_maps(subject: Subject, recorded: ClipRecording, classes: Sequence[Contrast]) -> list[ScalarMap]:
    """Makes maps of each position's share in the logits of classes.

    Args:
      subject: model and clip.
      recorded: intermediates of the clip.
      classes: of `asked_classes` or `most_probable`.

    Returns:
      One map with a channel for each class and difference; () if its layer was not recorded.
    """
    try:
        layer = subject.model.activation_layer()
    except UserError:
        return []
    if layer not in recorded.maps:
        return []
    weights = [np.asarray(classifier_weights(subject.model, subject.variables, *contrast)) for contrast in classes]
    values = np.moveaxis(recorded.maps[layer][0] @ np.stack(weights, axis=-1), -1, 0)
    grid = token_grid(subject.model, layer, subject.view)
    limits = value_limits(values, signed=True)
    names = contrast_names(subject, classes)
    return [ScalarMap("Class activation", layer, grid, names, "Class", values, "share in the logit", limits, DIVERGING)]


def grad_cams(subject: Subject, classes: Sequence[Contrast], layers: Sequence[str]) -> list[ScalarMap]:
    """Makes Grad-CAM maps of layers.

    Args:
      subject: model and clip.
      classes: of `asked_classes` or `most_probable`.
      layers: stages and blocks such as `stage3` and `stage3/block0`, which stand for their (last) output, or names or
        patterns of outputs; () for the last output with positions that the classifier reads.

    Returns:
      A map for each layer, with a channel for each class and difference.

    Raises:
      UserError: there is no such layer.
    """
    known = list(recording.names(subject.model, subject.inputs.shape[1:]))
    outputs = [name for name in known if name.endswith("_output")]
    patterns = [_output_of(layer, outputs) for layer in layers] or [_last(subject, outputs)]
    chosen = [name for name in recording.choose(known, patterns) if name in outputs]
    if not chosen:
        raise UserError(
            f"Grad-CAM is of outputs of stages and blocks, of which {', '.join(layers)} matches none; such are "
            f"{', '.join(outputs[-3:])}."
        )
    maps = []
    for layer in chosen:
        cams = [
            np.asarray(grad_cam(subject.model, subject.variables, subject.inputs, layer, first, minus=second))[0]
            for first, second in classes
        ]
        values = np.stack(cams)
        grid = token_grid(subject.model, layer, subject.view)
        limits, names = (0.0, value_limits(values)[1]), contrast_names(subject, classes)
        maps.append(ScalarMap("Grad-CAM", layer, grid, names, "Class", values, "evidence", limits))
    return maps


def _output_of(layer: str, outputs: Sequence[str]) -> str:
    """Returns the output of a block, or of a stage's last block; any other layer is a pattern."""
    own = [name for name in outputs if name == f"{layer}_output" or name.startswith(f"{layer}/")]
    return own[-1] if own else layer


def _last(subject: Subject, outputs: Sequence[str]) -> str:
    """Finds the last output of patches that the classifier reads."""
    try:
        return subject.model.activation_layer()
    except UserError:
        # After the last block of a TimeSformer only the class token is read, and the last output is that of the norm.
        return outputs[-3]


def contrast_names(subject: Subject, classes: Sequence[Contrast]) -> tuple[str, ...]:
    """Names classes, and differences of two as "one minus other".

    Args:
      subject: model and clip.
      classes: of `asked_classes` or `most_probable`.
    """
    labels = subject.label_names
    return tuple(labels[first] + ("" if second is None else f" minus {labels[second]}") for first, second in classes)
