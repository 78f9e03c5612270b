"""JAX functions in TensorFlow graphs: StableHLO in a version that TensorFlow reads, in its XlaCallModule."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import export
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

# What TensorFlow 2.21 holds. JAX writes for readers a month old, and TensorFlow is released less often: from JAX 0.12
# on, TensorFlow would refuse the operations that check a symbolic batch.
_READABLE_VERSION = "1.13.7"

TensorFlowFunction = Callable[..., Any]


def tensorflow_function(
    function: Callable[..., tuple[jax.Array, ...]], *arguments: Any, platforms: Sequence[str] = ("cpu",)
) -> TensorFlowFunction:
    """Wraps a JAX function as a function of TensorFlow tensors.

    `jax.experimental.jax2tf` does the same, but cannot choose the version of StableHLO.

    Args:
      function: a function of pytrees to a tuple of arrays.
      *arguments: shapes and dtypes of its arguments, with symbolic dimensions where they may be of any size.
      platforms: targets, such as "cpu", "cuda" and "tpu".

    Returns:
      A function from the same pytrees of tensors or variables to a list of tensors, to be called in a
      `tensorflow.function`.
    """
    import tensorflow
    from tensorflow.compiler.tf2xla.python import xla

    exported = export.export(jax.jit(function), platforms=platforms)(*arguments)
    module = _readable(exported.mlir_module_serialized)

    def call(*tensors: Any) -> Any:
        leaves = [tensorflow.convert_to_tensor(leaf) for leaf in jax.tree.leaves(tensors)]
        results: list[Any] = xla.call_module(
            [leaves[index] for index in exported.module_kept_var_idx],
            version=exported.calling_convention_version,
            module=module,
            Tout=[tensorflow.as_dtype(output.dtype) for output in exported.out_avals],
            Sout=[
                tuple(size if isinstance(size, int) else None for size in output.shape) for output in exported.out_avals
            ],
            platforms=[platform.upper() for platform in exported.platforms],
        )
        return results

    return call


def _readable(module: bytes) -> bytes:
    """Converts a serialised module to the version of StableHLO that TensorFlow reads, unless its own is older."""
    version = stablehlo.get_smaller_version(_READABLE_VERSION, stablehlo.get_current_version())
    with ir.Context() as context:
        serialized: bytes = stablehlo.serialize_portable_artifact(
            stablehlo.deserialize_portable_artifact(context, module), version
        )
    return serialized
