"""Counts what the parts of a model cost while it is traced: parameters, multiply-adds and activation memory."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
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
      output_shape: shape of its output, without the batch.
    """

    parameters: int
    multiply_adds: int
    activation_bytes: int
    output_shape: tuple[int, ...]


class CostRecorder:
    """Records the layers of a model that is traced while `recording` is entered."""

    def __init__(self) -> None:
        self._multiply_adds: dict[tuple[str, ...], int] = {}
        self._outputs: dict[tuple[str, ...], jax.Array] = {}

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
        return {
            "/".join(path): PartCost(
                parameters=sum(leaf.size for leaf in jax.tree.leaves(_below(parameters, path))),
                multiply_adds=sum(count for inner, count in self._multiply_adds.items() if inner[: len(path)] == path),
                activation_bytes=sum(
                    output.size * output.dtype.itemsize
                    for inner, output in outputs.items()
                    if inner[: len(path)] == path and inner not in containers
                ),
                output_shape=outputs[path].shape[1:],
            )
            for path in parts
        }

    def _record(
        self, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        output = call(*args, **kwargs)
        module = context.module
        if context.method_name == "__call__" and not isinstance(module, nn.Dropout) and isinstance(output, jax.Array):
            self._multiply_adds[module.path] = _own_multiply_adds(module, args)
            self._outputs[module.path] = output
        return output


def _below(tree: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """Returns the part of a tree at a path, {} where there is none."""
    for name in path:
        tree = tree.get(name, {})
    return tree


def _own_multiply_adds(module: nn.Module, args: tuple[Any, ...]) -> int:
    """Multiply-adds of a layer itself, without those of the layers in it."""
    count = getattr(module, "multiply_adds", None)
    return count(args[0]) if count else 0
