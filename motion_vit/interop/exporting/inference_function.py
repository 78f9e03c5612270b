"""The exported function: normalised clips to logits, with the weights in their stored form."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float

from motion_vit.models.options import options_by_effect, with_options
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import expand

INPUT_NAME = "clips"
OUTPUT_NAME = "logits"

BATCH_SYMBOL = "b"
"""The symbolic batch in a shape of JAX."""

InferenceFunction = Callable[[Mapping[str, Array | np.ndarray], Float[Array, "b t h w 3"]], Float[Array, "b classes"]]


def inference_function(model: VideoModel, *, in_float32: bool = False) -> InferenceFunction:
    """Makes a function of stored weights and clips from a model in evaluation mode.

    Args:
      model: a model of `motion_vit.create_model`.
      in_float32: compute in float32 even if the model uses another dtype, for runtimes that lack it.

    Returns:
      A function from weights, as `motion_vit.training.checkpoints.weight_dtypes.compress` returns them, and normalised
      clips to logits in float32. Trace it under `motion_vit.ops.platform.target_platform`.
    """
    # How a program is run is the format's concern, in which operators choose for themselves.
    changes = options_by_effect(model, "execution", "implementation")
    runs_alone = with_options(model, changes | ({"dtype": jnp.dtype("float32")} if in_float32 else {}))

    def logits(stored: Mapping[str, Array | np.ndarray], clips: Float[Array, "b t h w 3"]) -> Float[Array, "b classes"]:
        return jnp.asarray(runs_alone.apply(expand(stored), clips, train=False), jnp.float32)

    return logits


def clips_shape(model: VideoModel, batch: int | None) -> tuple[int | None, ...]:
    """Returns the input shape `[batch, frames, height, width, 3]`; the batch is None where it is symbolic."""
    return (batch, *model.clip_shape)


def abstract_clips(model: VideoModel, batch: int | None) -> jax.ShapeDtypeStruct:
    """Returns the input for tracing, with a fixed batch, or `BATCH_SYMBOL` for None."""
    size = export.symbolic_shape(BATCH_SYMBOL)[0] if batch is None else batch
    return jax.ShapeDtypeStruct((size, *clips_shape(model, batch)[1:]), jnp.float32)


def graph_entry(
    trained: TrainedModel, file_format: str, file: pathlib.Path, batch: int | None, dtype: WeightDtype
) -> dict[str, Any]:
    """Makes the entry `export` of `config.json` for a graph.

    Args:
      trained: a model of this library with its weights.
      file_format: name of the format.
      file: the artefact.
      batch: clips per call, None for any number.
      dtype: stored form of the weights.

    Returns:
      A mapping for JSON.
    """
    return {
        "format": file_format,
        "batch": batch,
        "dtype": dtype,
        "file": file.name,
        "input": {"name": INPUT_NAME, "shape": clips_shape(trained.model, batch), "dtype": "float32"},
        "output": {"name": OUTPUT_NAME, "shape": (batch, trained.model.num_classes), "dtype": "float32"},
    }
