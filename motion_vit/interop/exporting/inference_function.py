"""The exported function: clips to logits or probabilities, and uncertainty, with the weights in their stored form."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float, UInt8

from motion_vit.interop.exporting.interface import INPUT_NAME, PLAIN, UNCERTAINTY, Interface
from motion_vit.models.options import options_by_effect, with_options
from motion_vit.models.video_model import VideoModel
from motion_vit.training.checkpoints.stored_dtypes import WeightDtype
from motion_vit.training.checkpoints.trained_model import TrainedModel
from motion_vit.training.checkpoints.weight_dtypes import expand
from motion_vit.training.inputs.normalization import normalization
from motion_vit.training.losses.evidence import evidence_of, uncertainty
from motion_vit.training.recipe.evidence import trained_evidence

BATCH_SYMBOL = "b"
"""The symbolic batch in a shape of JAX."""

Clips = Float[Array, "b t h w 3"] | UInt8[Array, "b t h w 3"]
InferenceFunction = Callable[[Mapping[str, Array | np.ndarray], Clips], tuple[Array, ...]]


def inference_function(
    trained: TrainedModel, interface: Interface = PLAIN, *, in_float32: bool = False
) -> InferenceFunction:
    """Makes a function of stored weights and clips from a model in evaluation mode.

    Args:
      trained: its network and normalisation are taken, its variables are not.
      interface: what the function takes and gives.
      in_float32: compute in float32 even if the model uses another dtype, for runtimes that lack it.

    Returns:
      A function from weights, as `motion_vit.training.checkpoints.weight_dtypes.compress` returns them, and clips
      to logits or probabilities `[b, classes]` in float32 and, of a model that was trained with evidence, the
      uncertainty `[b]`; see `output_names`. Trace it under `motion_vit.ops.platform.target_platform`.
    """
    # How a program is run is the format's concern, in which operators choose for themselves.
    changes = options_by_effect(trained.model, "execution", "implementation")
    runs_alone = with_options(trained.model, changes | ({"dtype": jnp.dtype("float32")} if in_float32 else {}))

    normalise = normalization(trained.config)
    evidence = trained_evidence(trained.config)

    def infer(stored: Mapping[str, Array | np.ndarray], clips: Clips) -> tuple[Array, ...]:
        inputs = normalise(clips) if interface.input == "uint8" else clips
        logits = jnp.asarray(runs_alone.apply(expand(stored), inputs, train=False), jnp.float32)
        outputs = jax.nn.softmax(logits) if interface.output == "probabilities" else logits
        return (outputs,) if evidence is None else (outputs, uncertainty(evidence_of(logits, evidence)))

    return infer


def output_names(trained: TrainedModel, interface: Interface = PLAIN) -> tuple[str, ...]:
    """Lists the names of the outputs of an exported program, in their order.

    Args:
      trained: a model of this library.
      interface: what the program gives.
    """
    return (interface.output,) if trained_evidence(trained.config) is None else (interface.output, UNCERTAINTY)


def clips_shape(model: VideoModel, batch: int | None) -> tuple[int | None, ...]:
    """Returns the input shape `[batch, frames, height, width, 3]`; the batch is None where it is symbolic."""
    return (batch, *model.clip_shape)


def abstract_clips(model: VideoModel, batch: int | None, interface: Interface = PLAIN) -> jax.ShapeDtypeStruct:
    """Returns the input for tracing, with a fixed batch, or `BATCH_SYMBOL` for None."""
    size = export.symbolic_shape(BATCH_SYMBOL)[0] if batch is None else batch
    return jax.ShapeDtypeStruct((size, *clips_shape(model, batch)[1:]), jnp.dtype(interface.input))


def graph_entry(
    trained: TrainedModel,
    file_format: str,
    file: pathlib.Path,
    batch: int | None,
    dtype: WeightDtype,
    interface: Interface = PLAIN,
) -> dict[str, Any]:
    """Makes the entry `export` of `config.json` for a graph.

    Args:
      trained: a model of this library with its weights.
      file_format: name of the format.
      file: the artefact.
      batch: clips per call, None for any number.
      dtype: stored form of the weights.
      interface: what the graph takes and gives.

    Returns:
      A mapping for JSON.
    """
    return {
        "format": file_format,
        "batch": batch,
        "dtype": dtype,
        "file": file.name,
        "input": {"name": INPUT_NAME, "shape": clips_shape(trained.model, batch), "dtype": interface.input},
        "output": {"name": interface.output, "shape": (batch, trained.model.num_classes), "dtype": "float32"},
        **{
            name: {"name": name, "shape": (batch,), "dtype": "float32"}
            for name in output_names(trained, interface)
            if name == UNCERTAINTY
        },
    }
