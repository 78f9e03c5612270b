"""A model by name that takes the clips it is meant for; whatever it refuses is told as a person's mistake."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import errors as flax_errors
from jax.extend.core import jaxpr_as_fun
from jaxtyping import PRNGKeyArray

from motion_vit.counts import counted
from motion_vit.errors import UserError
from motion_vit.models.part_costs import CostRecorder, PartCost
from motion_vit.models.registry import create_model
from motion_vit.models.video_model import VideoModel
from motion_vit.ranges import shown

# What options that do not go together lead to while a model is traced. JAX raises a RuntimeError where a platform lacks
# an implementation, and Flax's errors are derived from none of the others.
_REFUSALS = (TypeError, ValueError, ArithmeticError, RuntimeError, flax_errors.FlaxError)


@dataclasses.dataclass(frozen=True)
class TracedModel:
    """A model, and what tracing its initialisation once has told.

    Attributes:
      model: the model that was traced, or that the network around it is of.
      shapes: shapes of the network's variables: `params` and `batch_stats`, nested, the latter {} for a model without.
      costs: what its parts cost for one clip, in the order of the forward pass.
      init: draws the variables from a key, of the same nesting. It runs what was traced: not a line of the model again,
        unless the key is of another kind than JAX's default.
    """

    model: VideoModel
    shapes: dict[str, Any]
    costs: dict[str, PartCost]
    init: Callable[[PRNGKeyArray], dict[str, Any]]


def checked_model(name: str, options: Mapping[str, Any], *, asked_by: str = "frames and image_size") -> TracedModel:
    """Builds a model by name and traces it over the clips that it is meant for, without computing anything.

    Args:
      name: one of `motion_vit.list_models()`.
      options: of `motion_vit.create_model`.
      asked_by: what a message calls the fields that decide the shape of the clips.

    Returns:
      The model and what tracing it has told.

    Raises:
      UserError: an unknown name or option; a value that is not in its option's range; options that do not go with each
        other, or clips that the model cannot take.
    """
    model = create_model(name, **options)
    subject = f"model {name!r} with the options {shown(dict(options))}"
    return trace_model(model, subject=f"{subject} ({asked_by} decide the clips)")


def trace_model(
    model: VideoModel, *, clip_shape: tuple[int, int, int, int] | None = None, subject: str = "the model"
) -> TracedModel:
    """Traces the initialisation of a model, without computing anything.

    Args:
      model: a model of `motion_vit.create_model`.
      clip_shape: frames, height, width and channels; by default those of the clips that the model is meant for.
      subject: what a message calls the model.

    Returns:
      The model and what tracing it has told.

    Raises:
      UserError: the model's options do not go with each other, or with such clips, or what it returns are no logits.
    """
    clip_shape = model.clip_shape if clip_shape is None else clip_shape

    def init(key: PRNGKeyArray) -> dict[str, Any]:
        logits, variables = model.init_with_output(key, jnp.zeros((1, *clip_shape), jnp.float32))
        _check_logits(logits, model, subject)
        return dict(variables)

    return trace_variables(model, init, clip_shape=clip_shape, subject=subject)


def trace_variables(
    model: VideoModel,
    init: Callable[[PRNGKeyArray], Mapping[str, Any]],
    *,
    clip_shape: tuple[int, int, int, int],
    subject: str,
) -> TracedModel:
    """Traces the initialisation of a network around a model, or of the model, without computing anything.

    Args:
      model: a model of `motion_vit.create_model`.
      init: draws the variables of the network from a key, in a forward pass of one clip.
      clip_shape: frames, height, width and channels of that clip.
      subject: what a message calls the network.

    Returns:
      The model and what tracing the network has told.

    Raises:
      UserError: the network refuses such clips.
    """
    recorder = CostRecorder()

    def trainable(key: PRNGKeyArray) -> dict[str, Any]:
        variables = init(key)
        return {"params": variables.get("params", {}), "batch_stats": variables.get("batch_stats", {})}

    def recorded(key: PRNGKeyArray) -> dict[str, Any]:
        with recorder.recording():
            return trainable(key)

    usual_key = jax.eval_shape(lambda: jax.random.key(0))
    with refusals_told(clip_shape, subject):
        program, shapes = jax.make_jaxpr(recorded, return_shape=True)(usual_key)
    leaves_of, structure = jaxpr_as_fun(program), jax.tree.structure(shapes)

    def draw(key: PRNGKeyArray) -> dict[str, Any]:
        # A key of another kind, such as "rbg", does not fit what was traced.
        return jax.tree.unflatten(structure, leaves_of(key)) if key.dtype == usual_key.dtype else trainable(key)

    return TracedModel(model, shapes, recorder.costs(shapes["params"], model.inner_prefix), draw)


def _check_logits(logits: Any, model: VideoModel, subject: str) -> None:
    """Refuses what a model returns for one clip, unless it is a floating point number for each class."""
    expected = (1, model.num_classes)
    if isinstance(logits, jax.Array) and logits.shape == expected and jnp.issubdtype(logits.dtype, jnp.floating):
        return
    found = f"{logits.dtype}{list(logits.shape)}" if isinstance(logits, jax.Array) else type(logits).__name__
    raise UserError(
        f"{subject} returns {found} for one clip, but must return logits of the shape {list(expected)}, a floating "
        f"point number for each of {model.num_classes} classes. Mend __call__ of {type(model.inner).__name__}."
    )


def variable_shapes(model: VideoModel) -> dict[str, Any]:
    """Shapes of a model's variables, without computing any.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      `params` and `batch_stats`, nested, the latter {} for a model without.

    Raises:
      UserError: the model's options do not go with each other, or with the clips that it is meant for.
    """
    return trace_model(model).shapes


@contextlib.contextmanager
def refusals_told(clip_shape: tuple[int, ...], subject: str = "the model") -> Iterator[None]:
    """Tells what a model refuses while it is traced as a person's mistake.

    Args:
      clip_shape: frames, height, width and channels of the clips that it is traced over.
      subject: what the message calls the model.

    Raises:
      UserError: the model refused them.
    """
    try:
        yield
    except _REFUSALS as error:
        frames, height, width, _ = clip_shape
        raise UserError(
            f"{subject} cannot take clips of {counted(frames, 'frame')} of {height} x {width} pixels: {error}"
        ) from error
