"""What exports of a program hold: normalised clips in, logits out, with the weights in the form they are stored in."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import export
from jaxtyping import Array, Float

from motion_vit.models.options import CHOSEN_BY_PLATFORM, with_options
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import WeightDtype, expand

INPUT_NAME = "clips"
OUTPUT_NAME = "logits"

BATCH_SYMBOL = "b"
"""The symbolic batch in a shape of JAX."""

# Options that say how a program is run, not what it computes; in an export operators choose for its format.
_HOW_IT_RUNS = {
    "frame_axis": None,
    "scan_blocks": False,
    "remat": "none",
    **CHOSEN_BY_PLATFORM,
}

InferenceFunction = Callable[[Mapping[str, Array | np.ndarray], Float[Array, "b t h w 3"]], Float[Array, "b classes"]]


def inference_function(model: nn.Module, *, in_float32: bool = False) -> InferenceFunction:
    """The model in evaluation mode, as a function of stored weights and clips.

    Args:
      model: a model of `motion_vit.create_model`.
      in_float32: compute in float32 also where the model computes in another dtype, for runtimes that lack it.

    Returns:
      A function from weights, as `motion_vit.training.checkpoints.weight_dtypes.compress` makes them, and normalised
      clips to logits in float32. To be traced under `motion_vit.ops.platform.target_platform`.
    """
    runs_alone = with_options(model, _HOW_IT_RUNS | ({"dtype": jnp.dtype("float32")} if in_float32 else {}))

    def logits(stored: Mapping[str, Array | np.ndarray], clips: Float[Array, "b t h w 3"]) -> Float[Array, "b classes"]:
        return jnp.asarray(runs_alone.apply(expand(stored), clips, train=False), jnp.float32)

    return logits


def clips_shape(model: nn.Module, batch: int | None) -> tuple[int | None, ...]:
    """The shape `[batch, frames, height, width, 3]` of the input; the batch is None where it is symbolic."""
    return (batch, *model.clip_shape)


def abstract_clips(model: nn.Module, batch: int | None) -> jax.ShapeDtypeStruct:
    """The input for tracing, with a batch that is a number, or `BATCH_SYMBOL` for None."""
    size = export.symbolic_shape(BATCH_SYMBOL)[0] if batch is None else batch
    return jax.ShapeDtypeStruct((size, *clips_shape(model, batch)[1:]), jnp.float32)


def graph_entry(
    trained: TrainedModel, file_format: str, file: pathlib.Path, batch: int | None, dtype: WeightDtype
) -> dict[str, Any]:
    """The entry `export` of `config.json` for a graph.

    Args:
      trained: the model.
      file_format: name of the format.
      file: the artefact.
      batch: clips that a call takes, None for any number.
      dtype: the form of the weights in it.

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
