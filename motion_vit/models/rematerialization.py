"""Rematerialization: the backward pass keeps some activations of a block and computes the others again."""

from collections.abc import Callable
from typing import Any, Literal

import jax
from flax import linen as nn

from motion_vit.ops.kept_activations import ATTENTION_OUTPUT, LINEAR_OUTPUT

Remat = Literal["none", "matmuls", "blocks"]
"""What the backward pass finds kept of a block: "none" is computed again; of "matmuls" its input is kept, and the
outputs of linear layers and of attention; of "blocks" its input alone."""

_POLICIES: dict[str, Callable[..., Any]] = {
    # By name and not by `dots_with_no_batch_dims_saveable`, which also keeps the hidden layer of EMIM's motion branch:
    # larger than all that a block keeps otherwise.
    "matmuls": jax.checkpoint_policies.save_only_these_names(LINEAR_OUTPUT, ATTENTION_OUTPUT),
    "blocks": jax.checkpoint_policies.nothing_saveable,
}


def rematerialized(function: Callable[..., Any], remat: Remat) -> Callable[..., Any]:
    """Makes a function of arrays compute again in its backward pass what `remat` does not keep.

    Args:
      function: a pure function that is applied inside `jax.lax.scan`.
      remat: what is kept.

    Returns:
      The function, or itself for "none".
    """
    if remat == "none":
        return function
    # A loop keeps the compiler from joining the two passes, so that nothing has to stand between them.
    return jax.checkpoint(function, policy=_POLICIES[remat], prevent_cse=False)


def rematerialized_module(function: Callable[..., Any], remat: Remat) -> Callable[..., Any]:
    """Does the same for a function whose first argument is a bound module.

    Args:
      function: a function of a module and arrays.
      remat: what is kept.

    Returns:
      The function, or itself for "none".
    """
    if remat == "none":
        return function
    return nn.remat(function, policy=_POLICIES[remat])
