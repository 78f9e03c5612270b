"""Several evaluations of the same clips with dropout, whose spread tells how sure a model is (Monte Carlo dropout).

Source: Gal, Ghahramani, "Dropout as a Bayesian approximation" (arXiv 1506.02142). Dropout alone is switched on:
BatchNorm keeps its running statistics, and no block is skipped by stochastic depth.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.errors import UserError
from motion_vit.models.video_model import VideoModel
from motion_vit.training.objectives.objective import Tree


def dropout_passes(
    model: VideoModel,
    variables: Mapping[str, Tree],
    clips: Float[Array, "b t h w 3"],
    key: PRNGKeyArray,
    passes: int,
) -> Float[Array, "passes b classes"]:
    """Classifies clips several times, one pass after the other, each with its own draws of dropout.

    Args:
      model: a model with dropout.
      variables: its parameters, or their averages, and running statistics.
      clips: normalised clips.
      key: of all draws.
      passes: how many.

    Returns:
      The logits of each pass.

    Raises:
      UserError: the model drops nothing, so that all passes would be the same.
    """
    dropping: list[str] = []

    def with_dropout(
        call: Callable[..., Any], arguments: Any, keywords: dict[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        layer = context.module
        # Layers that were made for evaluation stay as they are.
        if isinstance(layer, nn.Dropout) and context.method_name == "__call__" and layer.deterministic is None:
            if layer.rate > 0:
                dropping.append(layer.name or "")
            keywords = {**keywords, "deterministic": False}
        return call(*arguments, **keywords)

    def one_pass(key: PRNGKeyArray) -> Float[Array, "b classes"]:
        with nn.intercept_methods(with_dropout):
            logits = model.apply(variables, clips, train=False, rngs={"dropout": key})
        return jnp.asarray(logits, jnp.float32)

    logits = jax.lax.map(one_pass, jax.random.split(key, passes))
    if not dropping:
        raise UserError(
            f"config field unlabelled.method is 'adaptive', which compares {passes} passes with dropout, but the model "
            "drops nothing. Set its dropout, such as model.options.dropout = 0.5, or choose the method 'fixmatch'."
        )
    return logits
