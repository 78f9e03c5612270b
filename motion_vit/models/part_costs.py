"""Counts what the parts of a model cost while it is traced: parameters, multiply-adds and activation memory."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class PartCost:
    """The cost of one part of a model (a child of its root or of its backbone, such as `stage3`) for one clip.

    Attributes:
      parameters: number of parameters.
      multiply_adds: multiply-adds of a forward pass: of linear layers, convolutions and attention, as papers count
        them.
      activation_bytes: bytes of the outputs of all its layers, roughly what training keeps for the backward pass
        without rematerialisation. Attention weights are not counted: the implementations keep them or not.
      output_shape: shape of its output, without the batch; of several, of the first. () of `OTHER`.
      uncounted: classes of the layers in it whose own multiply-adds are not known. Flax's linear layers and
        convolutions are counted; other layers tell theirs by a method `multiply_adds(inputs)`, a whole number.
    """

    parameters: int
    multiply_adds: int
    activation_bytes: int
    output_shape: tuple[int, ...]
    uncounted: tuple[str, ...] = ()


OTHER = "(other)"
"""The name of what belongs to no part: parameters of the model itself and of layers that are not called."""

_KERNEL_LAYERS = (nn.Dense, nn.DenseGeneral, nn.Conv)
"""Layers that multiply each output with the entries of a kernel that lead to it."""

_UNKNOWN_LAYERS = (nn.RNNCellBase, nn.MultiHeadDotProductAttention)
"""Layers without weights of their own that multiply beside the layers in them, or have these run many times."""


class CostRecorder:
    """Records the layers of a model that is traced while `recording` is entered."""

    def __init__(self) -> None:
        self._multiply_adds: dict[tuple[str, ...], int] = {}
        self._outputs: dict[tuple[str, ...], list[jax.Array]] = {}
        self._uncounted: dict[tuple[str, ...], str] = {}

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Records every layer that is called inside."""
        with nn.intercept_methods(self._record):
            yield

    def costs(self, parameters: Mapping[str, Any], inner_prefix: str = "") -> dict[str, PartCost]:
        """Sums up what was recorded.

        Args:
          parameters: shapes of the model's parameters, nested.
          inner_prefix: of `VideoModel.inner_prefix`.

        Returns:
          Part name to cost, in the order of the forward pass.
        """
        outputs = self._outputs
        containers = {path[:depth] for path in outputs for depth in range(len(path))}
        # Behind an input adapter, the parts of the backbone are the interesting ones.
        within = tuple(filter(None, inner_prefix.split("/")))
        parts = [path for path in outputs if len(path) == 1 + len(within) * (path[: len(within)] == within)]
        costs = {
            "/".join(path): PartCost(
                parameters=_size(_below(parameters, path)),
                multiply_adds=sum(count for inner, count in self._multiply_adds.items() if inner[: len(path)] == path),
                activation_bytes=sum(
                    output.size * output.dtype.itemsize
                    for inner, several in outputs.items()
                    for output in several
                    if inner[: len(path)] == path and inner not in containers
                ),
                output_shape=outputs[path][0].shape[1:],
                uncounted=self._uncounted_in(path),
            )
            for path in parts
        }
        rest = PartCost(
            parameters=_size(parameters) - sum(cost.parameters for cost in costs.values()),
            multiply_adds=sum(self._multiply_adds.values()) - sum(cost.multiply_adds for cost in costs.values()),
            activation_bytes=0,
            output_shape=(),
            uncounted=tuple(set(self._uncounted_in(())).difference(*(cost.uncounted for cost in costs.values()))),
        )
        return costs | ({OTHER: rest} if rest.parameters or rest.multiply_adds or rest.uncounted else {})

    def _uncounted_in(self, path: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({name for inner, name in self._uncounted.items() if inner[: len(path)] == path}))

    def _record(
        self, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        output = call(*args, **kwargs)
        module = context.module
        arrays = [leaf for leaf in jax.tree.leaves(output) if isinstance(leaf, jax.Array)]
        if context.method_name == "__call__" and not isinstance(module, nn.Dropout) and arrays:
            count = _own_multiply_adds(module, args, arrays[0])
            self._multiply_adds[module.path] = count or 0
            self._outputs[module.path] = arrays
            if count is None:
                self._uncounted[module.path] = type(module).__name__
        return output


def _below(tree: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """Returns the part of a tree at a path, {} where there is none."""
    for name in path:
        tree = tree.get(name, {})
    return tree


def _size(parameters: Mapping[str, Any]) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))


def _own_multiply_adds(module: nn.Module, args: tuple[Any, ...], output: jax.Array) -> int | None:
    """Multiply-adds of a layer itself, without those of the layers in it; None where they are not known."""
    own: Mapping[str, Any] = module.variables.get("params", {})
    if hasattr(module, "multiply_adds"):
        count: int = module.multiply_adds(args[0])
        return count
    if isinstance(module, _KERNEL_LAYERS):
        return int(output.size * own["kernel"].size // np.prod(module.features))
    # A vector scales or shifts; what has more axes may be a factor of a product.
    weights = any(isinstance(leaf, jax.Array) and leaf.ndim > 1 for leaf in own.values())
    is_ours = type(module).__module__.startswith("motion_vit.")
    return None if isinstance(module, _UNKNOWN_LAYERS) or (weights and not is_ours) else 0
