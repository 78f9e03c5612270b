"""Muon: momentum orthogonalised matrix by matrix, for the kernels of hidden layers (Jordan et al., 2024).

Sources: https://kellerjordan.github.io/posts/muon for the method, and which parameters it is for; "Muon is Scalable for
LLM Training" (arXiv 2502.16982) for updates of the size of AdamW's, so that one learning rate and weight decay serve
both. The Newton-Schulz iteration is that of `optax.contrib.scale_by_muon`.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from jaxtyping import Array, Float

from motion_vit.errors import UserError
from motion_vit.training.objectives.debiasing import HEADS
from motion_vit.training.step.regex_rules import Tree, first_match

# The root mean square of AdamW's updates, as the paper measured it.
_RMS = 0.2

# First layers, heads and embeddings read or write other things than features, and a channel of a depthwise kernel is no
# matrix: all of these are AdamW's, as biases and scales are.
_NOT_MATRICES = re.compile(
    r"(backbone/)?(patch_embed1|embedding|(slow_|fast_)?stem|head)/.*|(?!backbone/).*prompt.*|.*(position|depthwise|tea|tdn)/.*"
    rf"|{HEADS}/\w+/head/.*"
)
_FIELD = "optimizer.muon.matrices"
_FUSED_PROJECTIONS = re.compile(r".*/qkv/kernel")


def matrices(rules: Sequence[tuple[str, int]], params: Tree) -> Tree:
    """Counts the matrices of each parameter that Muon updates.

    Args:
      rules: the recipe's (pattern, number) pairs over "/"-joined parameter paths, of which the first match decides.
      params: parameters, or their shapes.

    Returns:
      For each parameter, the number of matrices side by side along its last axis: three where queries, keys and values
      are one kernel, one for other kernels of hidden layers, and 0 for parameters of AdamW.

    Raises:
      UserError: a pattern is not a regular expression or matches no parameter, or a parameter does not divide.
    """
    counts = first_match(_FIELD, rules, params, default=_default)
    shapes = {path: leaf.shape for path, leaf in traverse_util.flatten_dict(params, sep="/").items()}
    for path, count in traverse_util.flatten_dict(counts, sep="/").items():
        if count and (len(shapes[path]) < 2 or shapes[path][-1] % count):
            raise UserError(
                f"config field {_FIELD} asks for {count} matrices side by side in {path} of shape {shapes[path]}, "
                "which must have two dimensions or more, the last divisible by the number. Name fewer parameters."
            )
    return counts


def _default(path: str, parameter: Any) -> int:
    is_kernel = path.rpartition("/")[2] == "kernel" and len(parameter.shape) > 1
    if not is_kernel or _NOT_MATRICES.fullmatch(path):
        return 0
    return 3 if _FUSED_PROJECTIONS.fullmatch(path) else 1


def scale_by_orthogonal_momentum(counts: Tree, momentum: float) -> optax.GradientTransformation:
    """Makes updates with Nesterov momentum whose matrices have singular values of nearly equal size.

    The kernel of a convolution is one matrix from all inputs of its window to its outputs. The update of a matrix
    `[n, m]` is scaled by `0.2 sqrt(max(n, m))`, to the root mean square of AdamW's (arXiv 2502.16982, equation 4).

    Args:
      counts: for each parameter, the number of matrices side by side along its last axis; at least 1.
      momentum: decay of the momentum.

    Returns:
      The transformation. Its state is the momentum, one array of each parameter's shape.
    """

    def orthogonalise(updates: optax.Updates) -> optax.Updates:
        # Where another transformation has this parameter, a `MaskedNode` stands for its update.
        apart = jax.tree.map(
            lambda count, update: update if isinstance(update, optax.MaskedNode) else _matrices_apart(update, count),
            counts,
            updates,
        )
        # Without a momentum of its own it keeps nothing from step to step.
        axes = jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(1, 2), apart)
        orthogonal = optax.contrib.scale_by_muon(beta=0.0, nesterov=False, weight_dimension_numbers=axes)
        apart, _ = orthogonal.update(apart, orthogonal.init(apart))
        return jax.tree.map(_matrices_together, apart, updates)

    # Up to a factor, which orthogonalisation takes away, this is the published moving average of gradients.
    average = optax.trace(momentum, nesterov=True)
    return optax.chain(average, optax.stateless(lambda updates, _: orthogonalise(updates)))


def _matrices_apart(update: Float[Array, "*inputs outputs"], count: int) -> Float[Array, "count n m"]:
    """Cuts a kernel into its matrices."""
    inputs, outputs = math.prod(update.shape[:-1]), update.shape[-1]
    return jnp.moveaxis(update.reshape(inputs, count, outputs // count), 1, 0)


def _matrices_together(
    matrix: Float[Array, "count n m"], update: Float[Array, "*inputs outputs"]
) -> Float[Array, "*inputs outputs"]:
    """Joins scaled matrices to a kernel."""
    scale = _RMS * math.sqrt(max(matrix.shape[1:]))
    return scale * jnp.moveaxis(matrix, 0, 1).reshape(update.shape)
