"""Watches the normalisation layers of any model from outside, and has BatchNorm do what adaptation wants of it.

Flax's interceptors do both, so that no model knows of it. They see a layer only where it runs, and a value must not
leave a loop or a block that is computed again: `unrolled` takes models out of both.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array, Float, PRNGKeyArray

from motion_vit.models.video_model import VideoModel
from motion_vit.modules.average_norm import AverageNorm
from motion_vit.modules.batch_norm import BatchNorm
from motion_vit.modules.layer_norm import LayerNorm

_BATCH_NORMS = (BatchNorm, nn.BatchNorm)
_NORMS = (*_BATCH_NORMS, LayerNorm, AverageNorm, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)

Tree = Any  # nested mappings with arrays as leaves


class LayerStatistics(NamedTuple):
    """Mean and biased variance of each channel of a layer's output."""

    mean: Float[Array | np.ndarray, " c"]
    variance: Float[Array | np.ndarray, " c"]


class NormOutputs(NamedTuple):
    """The result of a model whose normalisation layers were watched.

    Attributes:
      logits: float32 `[b, classes]`.
      outputs: of each normalisation layer, after scale and shift, by the path of the layer, in order.
      batch_stats: the running statistics of BatchNorm, as they were or estimated again.
    """

    logits: Float[Array, "b classes"]
    outputs: dict[str, Array]
    batch_stats: Tree


def unrolled(model: VideoModel) -> VideoModel:
    """Returns a model of the same parameters that runs its blocks one by one, and computes none again.

    Args:
      model: of `motion_vit.create_model`.

    Returns:
      The model without `scan_blocks` and `remat`, where it has them.
    """
    changes: dict[str, Any] = {}
    for name, plain in (("scan_blocks", False), ("remat", "none")):
        if getattr(model, name, plain) != plain:
            changes[name] = plain
    if model.inner is not model:
        # The adapter of `motion_vit.models.motion_prompted`, which keeps its backbone in this field.
        changes["backbone"] = unrolled(model.inner)
    return model.clone(**changes) if changes else model


def apply_watching_norms(
    model: VideoModel,
    variables: Mapping[str, Any],
    clips: Float[Array, "b t h w 3"],
    *,
    dropout_key: PRNGKeyArray | None = None,
    momentum: float | None = None,
) -> NormOutputs:
    """Runs a model whose BatchNorm normalises by its running statistics, and watches its normalisation layers.

    Args:
      model: of `unrolled`.
      variables: `params` and `batch_stats`.
      clips: normalised clips.
      dropout_key: what dropout and stochastic depth draw from; None for evaluation mode, without them.
      momentum: None leaves the running statistics as they are. A number estimates them again: each layer moves them by
        this share towards the mean and the unbiased variance of what comes in, and normalises by the result. Layers
        behind it see what they will see in an evaluation with the new statistics.

    Returns:
      Logits, outputs of the layers and running statistics.
    """
    watcher = _Watcher(momentum)
    rngs = {} if dropout_key is None else {"dropout": dropout_key}
    with nn.intercept_methods(watcher):
        logits = model.apply(variables, clips, train=dropout_key is not None, rngs=rngs)
    batch_stats = variables.get("batch_stats", {})
    if watcher.batch_stats:
        flat = traverse_util.flatten_dict(batch_stats)
        for path, new in watcher.batch_stats.items():
            flat |= {(*path, name): value for name, value in new.items()}
        batch_stats = traverse_util.unflatten_dict(flat)
    return NormOutputs(jnp.asarray(logits, jnp.float32), watcher.outputs, batch_stats)


def channel_statistics(output: Float[Array, "*places c"]) -> LayerStatistics:
    """Returns mean and biased variance of each channel over clips, frames and positions.

    Args:
      output: of a layer, channels last.

    Returns:
      The statistics, in float32.
    """
    values = output.astype(jnp.float32).reshape(-1, output.shape[-1])
    return LayerStatistics(jnp.mean(values, axis=0), jnp.var(values, axis=0))


@dataclasses.dataclass(eq=False)
class _Watcher:
    """An interceptor of Flax that keeps outputs of normalisation layers, and runs BatchNorm itself."""

    momentum: float | None
    outputs: dict[str, Array] = dataclasses.field(default_factory=dict)
    batch_stats: dict[tuple[str, ...], dict[str, Array]] = dataclasses.field(default_factory=dict)
    _inside: bool = False

    def __call__(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        """Calls a method of a module, or what stands for it."""
        layer = context.module
        # A layer of the library may hold one of Flax, which is not another layer.
        if self._inside or context.method_name != "__call__" or not isinstance(layer, _NORMS):
            return call(*arguments, **keywords)
        self._inside = True
        try:
            if isinstance(layer, _BATCH_NORMS):
                output = self._batch_norm(layer, arguments[0] if arguments else keywords["x"])
            else:
                output = call(*arguments, **keywords)
        finally:
            self._inside = False
        self.outputs[self._name("/".join(layer.path))] = output
        return output

    def _name(self, path: str) -> str:
        """Names one call of a layer; one that a network calls again counts as another layer."""
        calls = sum(name == path or name.startswith(f"{path}#") for name in self.outputs)
        return f"{path}#{calls + 1}" if calls else path

    def _batch_norm(self, layer: BatchNorm | nn.BatchNorm, x: Array) -> Array:
        """Normalises by running statistics, whatever the mode that the network runs in."""
        variables = {kind: layer.variables[kind] for kind in ("params", "batch_stats") if kind in layer.variables}
        if self.momentum is not None:
            new = _moved(variables["batch_stats"], x, self.momentum)
            self.batch_stats[tuple(layer.path)] = new
            variables["batch_stats"] = new
        # Of Flax's layer, the mode may be a field. A copy by itself takes the same variables, and no new names.
        mode = {} if isinstance(layer, BatchNorm) else {"use_running_average": True}
        return jnp.asarray(layer.clone(parent=None, name=None, **mode).apply(variables, x))


def _moved(batch_stats: Mapping[str, Array], x: Float[Array, "*places c"], momentum: float) -> dict[str, Array]:
    """Moves running statistics towards those of `x`."""
    now = channel_statistics(x)
    places = x.size // x.shape[-1]
    unbiased = now.variance * (places / max(places - 1, 1))
    return {
        "mean": (1 - momentum) * batch_stats["mean"] + momentum * now.mean,
        "var": (1 - momentum) * batch_stats["var"] + momentum * unbiased,
    }
