"""A model by name that takes the clips it is meant for; whatever it refuses is told as a person's mistake."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import errors as flax_errors

from motion_vit.errors import UserError
from motion_vit.models.option import option_traits
from motion_vit.models.registry import create_model, model_class
from motion_vit.models.video_model import VideoModel

# What options that do not go together lead to while a model is traced. JAX raises a RuntimeError where a platform lacks
# an implementation, and Flax's errors are derived from none of the others.
_REFUSALS = (TypeError, ValueError, ArithmeticError, RuntimeError, flax_errors.FlaxError)


class CheckedModel(NamedTuple):
    """A model that has been traced.

    Attributes:
      model: the model.
      shapes: shapes of its variables, see `variable_shapes`.
    """

    model: VideoModel
    shapes: dict[str, Any]


def checked_model(name: str, options: Mapping[str, Any], *, asked_by: str = "frames and image_size") -> CheckedModel:
    """Builds a model by name and traces it over the clips that it is meant for, without computing anything.

    Args:
      name: one of `motion_vit.list_models()`.
      options: of `motion_vit.create_model`.
      asked_by: what a message calls the fields that decide the shape of the clips.

    Returns:
      The model and the shapes of its variables.

    Raises:
      UserError: an unknown name or option; a value of another kind than the option's, outside of its choices or too
        large; options that do not go with each other, or clips that the model cannot take.
    """
    _check_size(name, options)
    model = create_model(name, **options)
    subject = f"model {name!r} with the options {dict(options)}"
    return CheckedModel(model, _traced(model, f"{subject} ({asked_by} decide the clips)"))


def variable_shapes(model: VideoModel) -> dict[str, Any]:
    """Shapes of a model's variables, without computing any.

    Args:
      model: a model of `motion_vit.create_model`.

    Returns:
      `params` and `batch_stats`, nested, the latter {} for a model without.

    Raises:
      UserError: the model's options do not go with each other, or with the clips that it is meant for.
    """
    return _traced(model, "the model")


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
            f"{subject} cannot take clips of {frames} frames of {height} x {width} pixels: {error}"
        ) from error


def _traced(model: VideoModel, subject: str) -> dict[str, Any]:
    clips = jax.ShapeDtypeStruct((1, *model.clip_shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    with refusals_told(model.clip_shape, subject):
        variables = jax.eval_shape(model.init, key, clips)
    return {"params": variables.get("params", {}), "batch_stats": variables.get("batch_stats", {})}


def _check_size(name: str, options: Mapping[str, Any]) -> None:
    """Refuses options that exhaust the machine, before anything is built of them."""
    for option, traits in option_traits(model_class(name)).items():
        value = options.get(option)
        for number in value if isinstance(value, list | tuple) else [value]:
            if traits.largest is not None and isinstance(number, int | float) and not number <= traits.largest:
                raise UserError(f"the model's option {option} is {value}, but must be at most {traits.largest}.")
