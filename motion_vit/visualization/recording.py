"""Records chosen intermediates of a model in one forward pass that returns nothing else."""

import difflib
import fnmatch
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.models.checked_model import refusals_told, variable_shapes
from motion_vit.models.frame_offset import MODELS_WITH_COST_VOLUMES
from motion_vit.models.intermediates import apply_with_intermediates
from motion_vit.models.video_model import VideoModel

HELD_BY: Mapping[str, str] = {
    "cost_volume": MODELS_WITH_COST_VOLUMES,
    "cost_volume_backward": "models with EMIM and neighbours='both'",
    "attention_weights": "UniFormers, TimeSformers, VideoMAEs and Video Swins",
    "attention_map": "models behind video motion prompts (input_adapter='motion_prompt')",
    "gate": "models with a motion module, such as resnet50_m2a or motion_module='m2a'",
    "frame_attention": "models with the attention of M2A, such as resnet50_m2a or motion_module='m2a'",
}
"""The intermediates that not every model has, by the last part of their names: which models have them."""

Transform = Callable[[dict[str, Array]], dict[str, Any]]
"""What is made of the chosen intermediates inside the compiled program, by name."""


NOTHING_NAMED = (
    "the model names no intermediate, of which maps are made. In its __call__, pass what shall be drawn through "
    "motion_vit.models.intermediates.name_output, such as x = name_output(self, 'features_output', x)."
)
"""The message for a model that nothing can be drawn of."""


class Recording(NamedTuple):
    """The results of one forward pass.

    Attributes:
      logits: `[b, classes]`, not normalised.
      maps: the chosen intermediates by name, or the results of the transform.
    """

    logits: Float[Array, "b classes"]
    maps: dict[str, Any]


def names(model: VideoModel, clip_shape: tuple[int, ...] | None = None) -> dict[str, jax.ShapeDtypeStruct]:
    """Lists the named intermediates of a model and their shapes for one clip, without computing any.

    Args:
      model: a model of `motion_vit.create_model`.
      clip_shape: frames, height, width and channels of the clip; the model's own by default.

    Returns:
      Shape and dtype by name, in the order of computation; see `motion_vit.models.intermediates`.

    Raises:
      UserError: the model cannot take such clips.
    """
    return dict(_names(model, tuple(model.clip_shape if clip_shape is None else clip_shape)))


@functools.lru_cache(maxsize=64)
def _names(model: VideoModel, clip_shape: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    order: list[str] = []

    def run(variables: dict[str, Any], clips: Array) -> dict[str, Array]:
        _, maps = apply_with_intermediates(model, variables, clips)
        order.extend(maps)  # what JAX returns is sorted by name, block10 before block2
        return maps

    clips = jax.ShapeDtypeStruct((1, *clip_shape), jnp.float32)
    variables = variable_shapes(model)
    with refusals_told(clip_shape):
        shapes = jax.eval_shape(run, variables, clips)
    return {name: shapes[name] for name in order}


def choose(known: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Selects the names that match patterns.

    Args:
      known: all names.
      patterns: names, or patterns in which `*` stands for anything, also for slashes, and `?` for a character.

    Returns:
      The names in the order of `known`.

    Raises:
      UserError: a pattern matches no name, or there are none.
    """
    if not known:
        raise UserError(NOTHING_NAMED)
    chosen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(known, pattern)
        if not found:
            raise UserError(_unknown(pattern, known))
        chosen.update(found)
    return [name for name in known if name in chosen]


def record(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
    patterns: Sequence[str],
    *,
    transform: Transform | None = None,
) -> Recording:
    """Runs a model in evaluation mode and returns the requested intermediates.

    The forward pass is compiled. Only returned values are kept: reduce large intermediates of a long clip in
    `transform`. The program is compiled once for each model, shape of clips, choice of names and transform. A transform
    given as `jax.tree_util.Partial(function, *arguments)` is the same for other arrays as arguments.

    Args:
      model: a model of `motion_vit.create_model`.
      variables: `params` and `batch_stats` of the model.
      clips: normalised clips.
      patterns: names of `motion_vit.models.intermediates`, or patterns of them; see `choose`.
      transform: a function of a mapping from the names to arrays that returns another mapping; it runs inside the
        compiled program. None returns the arrays themselves.

    Returns:
      Logits and maps.

    Raises:
      UserError: a pattern matches no name, or the model cannot take such clips.
    """
    chosen = choose(list(names(model, clips.shape[1:])), patterns)
    reduce = _unchanged if transform is None else transform
    # A partial of a partial would be another function to the compiler each time.
    reduce = reduce if isinstance(reduce, jax.tree_util.Partial) else jax.tree_util.Partial(reduce)
    logits, maps = _run(model, tuple(chosen), reduce, variables, clips)
    in_order = [name for name in chosen if name in maps]
    return Recording(logits, {name: maps[name] for name in dict.fromkeys([*in_order, *maps])})


@functools.partial(jax.jit, static_argnames=("model", "chosen"))
def _run(
    model: VideoModel,
    chosen: tuple[str, ...],
    transform: jax.tree_util.Partial,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
) -> tuple[Float[Array, "b classes"], dict[str, Any]]:
    logits, maps = apply_with_intermediates(model, variables, clips)
    return logits, transform({name: maps[name] for name in chosen})


def _unchanged(maps: dict[str, Array]) -> dict[str, Array]:
    return maps


def _unknown(pattern: str, known: Sequence[str]) -> str:
    """Makes the message for a pattern that matches no name."""
    parts = [f"the model has no intermediate {pattern!r}."]
    kind = pattern.rsplit("/", 1)[-1].lstrip("*")
    if kind in HELD_BY and not fnmatch.filter(known, f"*/{kind}"):
        parts.append(f"There is one in {HELD_BY[kind]}.")
    elif close := difflib.get_close_matches(pattern, known, n=3, cutoff=0.5):
        parts.append(f"Close to it are: {', '.join(close)}.")
    parts.append(f"`motion-vit visualize --list` names all {len(known)} of this model.")
    return " ".join(parts)
