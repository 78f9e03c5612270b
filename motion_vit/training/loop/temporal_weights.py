"""Starts the temporal encoder of a run from other weights than the rest: anew, from image blocks, or from another run.

"Optimizing ViViT Training" (arXiv 2306.04822) finds that a temporal encoder behind a frozen spatial one must start from
suitable weights; its abstract, which is all that could be read, does not say which. Copies of image blocks are how the
authors of ViViT (arXiv 2103.15691) start the attention over time of their third model. The temporal encoder of another
run, of fewer frames say, has seen motion already.
"""

from collections.abc import Mapping, MutableMapping
from typing import TypeVar

import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh
from jaxtyping import Float

from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.models.temporal_encoder import TemporalEncoder
from motion_vit.training.checkpoints.errors import check_same_model
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.zoo.load import load

ANEW, IMAGE = "anew", "image"
"""The values of the recipe field `temporal_weights` that name no weights."""

_FIELD = "config field temporal_weights"

Leaf = TypeVar("Leaf")
Weights = MutableMapping[str, np.ndarray]
Shapes = MutableMapping[str, jax.ShapeDtypeStruct]


def load_temporal_weights(source: str, mesh: Mesh) -> TrainedModel | None:
    """Loads the model whose temporal encoder a run starts from; every process of the run must call it.

    Args:
      source: the value of the recipe field.
      mesh: devices that hold its variables.

    Returns:
      None where the field names no other weights.

    Raises:
      UserError: they cannot be read.
    """
    return None if source in ("", ANEW, IMAGE) else load(source, mesh=mesh)


def fit_temporal_encoder(
    weights: Weights, fresh: Shapes, encoder: TemporalEncoder, source: str, other: TrainedModel | None
) -> str:
    """Puts into weights what the temporal encoder starts from, and takes what starts anew out of weights and model.

    Args:
      weights: what a run starts from, by path, which begins with the collection; it is changed.
      fresh: shapes of the run's variables by path, which are to be found in the weights; it is changed.
      encoder: the temporal encoder of the run's model.
      source: the value of the recipe field.
      other: of `load_temporal_weights`.

    Returns:
      What it starts from, as sentences for the log, each behind a space; "" where all is as in the weights.

    Raises:
      UserError: the blocks of the spatial encoder, or the temporal encoder of the other weights, are others.
    """
    note = ""
    if encoder.adapter and not _below(weights, encoder.adapter):
        _leave_out(fresh, (encoder.adapter,))
        note = " The adapter, which they lack, starts anew."
    if not source:
        return note
    _leave_out(weights, encoder.parts)
    if source == ANEW:
        _leave_out(fresh, encoder.parts)
        note += " The temporal encoder starts anew."
    elif source == IMAGE:
        weights.update(_copies_of_images(weights, fresh, encoder))
        _leave_out(fresh, (encoder.times.rpartition("/")[0] + "/", encoder.norm))
        note += (
            f" The blocks of the temporal encoder are copies of the last {len(encoder.blocks)} of the spatial one, its "
            "other parameters start anew."
        )
    elif other is not None:
        weights.update(_of_other(other, fresh, encoder, source))
        note += f" The temporal encoder is that of {source}, {other.step} steps trained."
    return note


def _copies_of_images(weights: Weights, fresh: Shapes, encoder: TemporalEncoder) -> dict[str, np.ndarray]:
    if not encoder.copies:
        raise UserError(
            f"{_FIELD} is {IMAGE!r}, but the spatial encoder has fewer blocks than the {len(encoder.blocks)} of the "
            f"temporal one. Lower config field model.options.temporal_depth, or take {ANEW!r}."
        )
    copies: dict[str, np.ndarray] = {}
    for block, image in encoder.copies.items():
        copies |= {block + rest: array for rest, array in _below(weights, image).items()}
    expected = {block + rest: leaf for block in encoder.blocks for rest, leaf in _below(fresh, block).items()}
    check_same_model(
        copies,
        expected,
        f"a copy of the last blocks of the spatial encoder ({_FIELD} is {IMAGE!r})",
        f"Blocks with cost volumes or motion modules fit no temporal encoder. Take {ANEW!r}, or that of a run.",
    )
    return {f"params/{path}": array for path, array in copies.items()}


def _of_other(other: TrainedModel, fresh: Shapes, encoder: TemporalEncoder, source: str) -> dict[str, np.ndarray]:
    theirs = other.model.temporal_encoder()
    if theirs is None or len(theirs.blocks) != len(encoder.blocks):
        found = (
            "no temporal encoder"
            if theirs is None
            else f"{counted(len(theirs.blocks), 'block')} in its temporal encoder"
        )
        raise UserError(
            f"{source} ({_FIELD}) has {found}, but {len(encoder.blocks)} are needed. Name weights of a ViViT with "
            "attention='factorised_encoder' and as many, or set model.options.temporal_depth."
        )
    arrays = {path: np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(other.variables, sep="/").items()}
    taken = {
        ours + rest: array
        for their, ours in zip(theirs.parts, encoder.parts, strict=True)
        for rest, array in _below(arrays, their).items()
    }
    if encoder.times in taken and f"params/{encoder.times}" in fresh:
        entries = fresh[f"params/{encoder.times}"].shape[0]
        taken[encoder.times] = _resized(taken[encoder.times], theirs.class_tokens, encoder.class_tokens, entries)
    expected = {part + rest: leaf for part in encoder.parts for rest, leaf in _below(fresh, part).items()}
    check_same_model(
        taken,
        expected,
        f"the temporal encoder of {source} ({_FIELD})",
        "Choose weights of the same width and heads, or model.options as theirs are.",
    )
    return {f"params/{path}": array for path, array in taken.items()}


def _resized(
    table: Float[np.ndarray, "n c"], their_class_tokens: int, class_tokens: int, entries: int
) -> Float[np.ndarray, "m c"]:
    """Interpolates a table of times to another number of frames, linearly from the first to the last."""
    if their_class_tokens != class_tokens:
        return table  # what does not fit is told by its shape
    times = table[class_tokens:]
    places = np.linspace(0, len(times) - 1, entries - class_tokens)
    columns = [np.interp(places, np.arange(len(times)), column) for column in times.T]
    return np.concatenate([table[:class_tokens], np.stack(columns, axis=1).astype(table.dtype)])


def _below(tree: Mapping[str, Leaf], path: str) -> dict[str, Leaf]:
    """Returns the parameters below a path, by the rest of theirs."""
    start = f"params/{path}"
    return {name[len(start) :]: leaf for name, leaf in tree.items() if name.startswith(start)}


def _leave_out(tree: MutableMapping[str, Leaf], parts: tuple[str, ...]) -> None:
    for name in [name for name in tree if name.startswith(tuple(f"params/{part}" for part in parts))]:
        del tree[name]
